import { randomUUID } from 'node:crypto';
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { fastify } from 'fastify';
import type { ApiToken } from '../config.ts';
import type { Log } from '../log.ts';
import { aggregateRoutes, type AggregateDeps } from './aggregates.ts';
import { auditRoutes } from './audit.ts';
import { guardRoutes } from './auth.ts';
import { checkRoutes, type CheckDeps } from './check.ts';
import { choiceRoutes } from './choices.ts';
import { dealRoutes, type DealDeps } from './deals.ts';
import { answerErrors } from './errors.ts';
import { healthRoutes, type HealthDeps } from './health.ts';
import { historyRoutes } from './history.ts';
import { lingerAfterEarlyAnswers } from './linger.ts';
import { manifestRoutes, type ManifestDeps } from './manifest.ts';
import { pieceRoutes, type PieceDeps } from './piece.ts';
import { policyRoutes, type PolicyDeps } from './policy.ts';
import { proofRoutes, type ProofDeps } from './proofs.ts';
import { providerRoutes, type ProviderDeps } from './providers.ts';
import { removeRoutes, type RemoveDeps } from './remove.ts';
import type { Server } from './typed-server.ts';
import { uploadRoutes, type UploadDeps } from './uploads.ts';

export interface ServerDeps
  extends UploadDeps,
    CheckDeps,
    AggregateDeps,
    DealDeps,
    ProviderDeps,
    PolicyDeps,
    PieceDeps,
    ManifestDeps,
    ProofDeps,
    RemoveDeps,
    HealthDeps {
  tokens: readonly ApiToken[];
  /** The deal's uuid when the text is a piece token of ours (deals/piece-token.ts). */
  verifyPieceToken(token: string): string | undefined;
  log: Log;
  timeouts?: Partial<Timeouts>;
}

interface Timeouts {
  /** A connection on which nothing moves for this long is closed: a stalled upload must not hold its file for ever. */
  idleMs: number;
  /** Headers arrive in one go; only slow attackers need longer. */
  headersMs: number;
  /** Longer than a load balancer's idle time (60 s), so that it, not we, closes first. */
  keepAliveMs: number;
  /** `close()` gives requests in hand this long; then their connections are cut. Less than the 10 s of a whole stop. */
  closeMs: number;
}

const defaultTimeouts: Timeouts = { idleMs: 120_000, headersMs: 30_000, keepAliveMs: 72_000, closeMs: 6_000 };

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
  const server: Server = fastify({
    logger: false,
    bodyLimit: MAX_JSON_BYTES,
    exposeHeadRoutes: false,
    connectionTimeout: timeouts.idleMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    // Whole requests have no time limit: a 32 GiB upload takes what it takes, as long as it moves (idleMs).
    requestTimeout: 0,
    http: { headersTimeout: timeouts.headersMs },
    forceCloseConnections: 'idle',
    genReqId: (request) => requestId(request.headers['x-request-id']),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_CHARS },
  }).withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(TypeBoxValidatorCompiler);
  // Only JSON is parsed; the routes that take other bodies say so themselves.
  server.removeContentTypeParser('text/plain');
  guardRoutes(server, deps);
  answerErrors(server, deps.log);
  logRequests(server, deps.log);
  lingerAfterEarlyAnswers(server);
  cutWhenClosing(server, timeouts.closeMs);
  addRoutes(server, deps);
  return server;
}

function addRoutes(server: Server, deps: ServerDeps): void {
  uploadRoutes(server, deps);
  checkRoutes(server, deps);
  aggregateRoutes(server, deps);
  dealRoutes(server, deps);
  manifestRoutes(server, deps);
  providerRoutes(server, deps);
  policyRoutes(server, deps);
  choiceRoutes(server, deps);
  auditRoutes(server, deps);
  pieceRoutes(server, deps);
  proofRoutes(server, deps);
  removeRoutes(server, deps);
  historyRoutes(server, deps);
  healthRoutes(server, deps);
}

/** A caller's own request id is taken when it is plain text, so that one id runs through the logs of both. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID();
}

function logRequests(server: Server, log: Log): void {
  server.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
  });
  server.addHook('onResponse', async (request, reply) => {
    const { id, method, caller } = request;
    const who = caller?.kind === 'token' ? caller.name : caller?.dealId;
    const fields = { requestId: id, method, route: request.routeOptions.url, status: reply.statusCode, who };
    log.debug({ ...fields, ms: Math.round(reply.elapsedTime) }, 'request.answered');
  });
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
  server.addHook('onResponse', async () => {
    // Only after this turn does Node count the connection as idle.
    if (closing) setImmediate(() => http.closeIdleConnections());
  });
}
