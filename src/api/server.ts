import { randomUUID } from 'node:crypto';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { fastify, type FastifyRequest } from 'fastify';
import type { ApiToken } from '../config.ts';
import { dashboardRoutes, type DashboardDeps } from '../dashboard/routes.ts';
import type { Log } from '../log/log.ts';
import { createDatabaseTokens, type DatabaseTokens } from '../tokens/database-tokens.ts';
import { aggregateInsideRoutes } from './operators/aggregate-inside.ts';
import { aggregateRoutes, type AggregateDeps } from './operators/aggregates.ts';
import { auditRoutes } from './operators/audit.ts';
import { guardRoutes } from './door/auth.ts';
import { limitBodyTime } from './door/body-time.ts';
import { answerBrokenRequest } from './door/broken-requests.ts';
import { chainRoute, type ChainDeps } from './operators/chain.ts';
import { checkRoutes, type CheckDeps } from './uploads/check.ts';
import { checkManyRoute } from './uploads/check-many.ts';
import { choiceRoutes } from './operators/choices.ts';
import { answerCrossOrigin } from './door/cross-origin.ts';
import { dealRoutes, type DealDeps } from './operators/deals.ts';
import { answerSerializer } from './answers/answer-serializer.ts';
import { answerErrors, answerFrameworkError } from './answers/errors.ts';
import { eventRoutes, type EventDeps } from './events/events.ts';
import { gatewayRoutes, type GatewayDeps } from './gateway/gateway.ts';
import { healthRoutes, type HealthDeps } from './health.ts';
import { historyRoutes } from './uploads/history.ts';
import { lingerAfterEarlyAnswers } from './door/linger.ts';
import { manifestRoutes, type ManifestDeps } from './pieces/manifest.ts';
import { metricsRoute, type MetricsDeps } from './metrics.ts';
import { refuseBodies } from './door/no-body.ts';
import { deadLetterRoutes } from './operators/dead-letters.ts';
import { jobRoutes } from './operators/jobs.ts';
import { proposingRoutes } from './operators/proposing.ts';
import { docsRoutes } from './openapi/routes.ts';
import { ownUploadRoutes } from './uploads/own-uploads.ts';
import { pieceRoutes, type PieceDeps } from './pieces/piece.ts';
import { pinRoutes, type PinningDeps } from './pinning/pins.ts';
import { opsRoutes } from './operators/ops.ts';
import { policyRoutes, type PolicyDeps } from './operators/policy.ts';
import { policyHistoryRoute } from './operators/policy-history.ts';
import { proofRoutes, type ProofDeps } from './uploads/proofs.ts';
import { providerRoutes, type ProviderDeps } from './operators/providers.ts';
import type { RateSettings } from './door/rate-limits.ts';
import { tellRequests, type Answered } from './door/request-story.ts';
import { requestValidator } from './door/request-validator.ts';
import { removeRoutes, type RemoveDeps } from './uploads/remove.ts';
import { securityHeaders } from './door/security-headers.ts';
import { createSessionCookies } from './door/session-cookie.ts';
import { tokenRoutes } from './operators/tokens.ts';
import type { Server } from './answers/typed-server.ts';
import { webhookRoutes, type WebhookDeps } from './events/webhooks.ts';
import { uploadRoutes, type UploadDeps } from './uploads/uploads.ts';
import { pullRoutes, type PullDeps } from './uploads/pulls.ts';
import { placementRoutes } from './uploads/placements.ts';
import { uploadListRoutes } from './uploads/uploads-list.ts';

export interface ServerDeps
  extends UploadDeps,
    CheckDeps,
    AggregateDeps,
    DealDeps,
    ProviderDeps,
    PolicyDeps,
    PieceDeps,
    GatewayDeps,
    ManifestDeps,
    ProofDeps,
    RemoveDeps,
    PullDeps,
    PinningDeps,
    EventDeps,
    WebhookDeps,
    MetricsDeps,
    ChainDeps,
    DashboardDeps,
    HealthDeps {
  tokens: readonly ApiToken[];
  /** Undefined: its own, whose last uses nobody writes down. */
  databaseTokens?: DatabaseTokens;
  rateLimits?: RateSettings;
  /** Proxies whose X-Forwarded-For is believed. */
  trustProxy?: readonly string[];
  /** Web pages that may call all of the API. */
  corsOrigins?: readonly string[];
  /** Key of the dashboard's sessions, the same in every process. Undefined: one of its own, so that they end with it. */
  sessionSecret?: string;
  /** The deal's uuid when the text is a piece token of ours (deals/piece-token.ts). */
  verifyPieceToken(token: string): string | undefined;
  log: Log;
  timeouts?: Partial<Timeouts>;
  /** Told of each request that was answered. */
  onAnswered?(request: Answered): void;
  /** As guardRoutes (auth.ts) tells and takes them. */
  onRoute?(route: string): void;
  metricsFrom?: readonly string[];
  monotonicMs?: () => number;
  recheckMs?: number;
  /** For tests: an answer that its schema does not allow, and an error that its route does not declare, are faults. */
  strict?: boolean;
}

interface Timeouts {
  /** A connection on which nothing moves for this long is closed: a stalled upload must not hold its file for ever. */
  idleMs: number;
  /** Headers arrive in one go; only slow attackers need longer. */
  headersMs: number;
  /** For a whole JSON body. */
  bodyMs: number;
  /** Longer than a load balancer's idle time (60 s), so that it, not we, closes first. */
  keepAliveMs: number;
  /** `close()` gives requests in hand this long; then their connections are cut. Less than the 10 s of a whole stop. */
  closeMs: number;
}

const defaultTimeouts: Timeouts = {
  idleMs: 120_000,
  headersMs: 30_000,
  bodyMs: 30_000,
  keepAliveMs: 72_000,
  closeMs: 6_000,
};
/** Node looks for late headers so often: a limit of `headersMs` holds within a third. */
const HEADER_CHECKS = 3;
/** Node's default, said here because it is a limit of ours: answered with 431. */
const MAX_HEADER_BYTES = 16 * 1024;

/** JSON bodies are a policy or a provider: small. CAR bodies are streams with limits of their own. */
const MAX_JSON_BYTES = 64 * 1024;
/** CIDs of any hash we take are shorter; a longer path is answered by its route, not by a bare 404. */
const MAX_PARAM_CHARS = 1_100;

/**
 * The HTTP door with all its routes. Nothing listens before `listen()`. `close()` takes no more connections, lets what
 * is in hand end within `timeouts.closeMs`, and cuts the rest.
 */
export function createServer(deps: ServerDeps): Server {
  const timeouts = { ...defaultTimeouts, ...deps.timeouts };
  const safety = securityHeaders({ secure: deps.publicUrl?.startsWith('https:') ?? false });
  const firstHeaders = ({ id }: FastifyRequest) => ({ ...safety, 'x-request-id': id });
  const server: Server = fastify({
    logger: false,
    bodyLimit: MAX_JSON_BYTES,
    exposeHeadRoutes: false,
    connectionTimeout: timeouts.idleMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    // Whole requests have no time limit: a 32 GiB upload takes what it takes, as long as it moves (idleMs).
    requestTimeout: 0,
    http: {
      headersTimeout: timeouts.headersMs,
      connectionsCheckingInterval: Math.ceil(timeouts.headersMs / HEADER_CHECKS),
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    // Nobody is believed who is not named: an address in a header is the caller's own word.
    trustProxy: deps.trustProxy === undefined || deps.trustProxy.length === 0 ? false : [...deps.trustProxy],
    forceCloseConnections: 'idle',
    // No hook sees them.
    frameworkErrors: (error, request, reply) =>
      answerFrameworkError(error, request, reply.headers(firstHeaders(request))),
    clientErrorHandler: answerBrokenRequest,
    genReqId: (request) => requestId(request.headers['x-request-id']),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_CHARS },
  }).withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(requestValidator);
  server.setSerializerCompiler(answerSerializer(deps.strict));
  // Only JSON is parsed; the routes that take other bodies say so themselves.
  server.removeContentTypeParser('text/plain');
  const configuredNames = deps.tokens.map(({ name }) => name);
  const databaseTokens = deps.databaseTokens ?? createDatabaseTokens({ ...deps, configuredNames });
  tellRequests(server, deps);
  server.addHook('onRequest', (request, reply, done) => {
    reply.headers(firstHeaders(request));
    done();
  });
  answerCrossOrigin(server, deps.corsOrigins ?? []);
  const sessions = createSessionCookies(deps.sessionSecret ?? randomUUID());
  const door = guardRoutes(server, { ...deps, databaseTokens, sessions });
  limitBodyTime(server, timeouts.bodyMs);
  refuseBodies(server);
  answerErrors(server, deps.log, deps.strict);
  lingerAfterEarlyAnswers(server);
  cutWhenClosing(server, timeouts.closeMs);
  addRoutes(server, deps);
  tokenRoutes(server, deps, databaseTokens);
  dashboardRoutes(server, deps, door);
  return server;
}

function addRoutes(server: Server, deps: ServerDeps): void {
  docsRoutes(server);
  uploadRoutes(server, deps);
  uploadListRoutes(server, deps);
  placementRoutes(server, deps);
  pullRoutes(server, deps);
  checkRoutes(server, deps);
  checkManyRoute(server, deps);
  aggregateRoutes(server, deps);
  aggregateInsideRoutes(server, deps);
  dealRoutes(server, deps);
  manifestRoutes(server, deps);
  providerRoutes(server, deps);
  opsRoutes(server, deps);
  policyRoutes(server, deps);
  policyHistoryRoute(server, deps);
  chainRoute(server, deps);
  proposingRoutes(server, deps);
  jobRoutes(server, deps);
  choiceRoutes(server, deps);
  auditRoutes(server, deps);
  pieceRoutes(server, deps);
  gatewayRoutes(server, deps);
  proofRoutes(server, deps);
  removeRoutes(server, deps);
  pinRoutes(server, deps);
  ownUploadRoutes(server, deps);
  historyRoutes(server, deps);
  eventRoutes(server, deps);
  webhookRoutes(server, deps);
  deadLetterRoutes(server, deps);
  healthRoutes(server, deps);
  metricsRoute(server, deps);
}

/** A caller's own request id is taken when it is plain text, so that one id runs through the logs of both. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID();
}

/** A client keeps its connection open after its answer: while closing, that must not be waited for. */
function cutWhenClosing(server: Server, closeMs: number): void {
  const { server: http } = server;
  let closing = false;
  server.addHook('preClose', (done) => {
    closing = true;
    const timer = setTimeout(() => http.closeAllConnections(), closeMs);
    // Alone it must not keep a process alive that has nothing else left to do.
    timer.unref();
    http.once('close', () => clearTimeout(timer));
    done();
  });
  server.addHook('onResponse', (_request, _reply, done) => {
    // Only after this turn does Node count the connection as idle.
    if (closing) setImmediate(() => http.closeIdleConnections());
    done();
  });
}
