import { timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { ApiToken, TokenRole } from '../../config.ts';
import type { Act } from '../../deals/audit.ts';
import { LadingError } from '../../errors.ts';
import { RecentMap } from '../../recent-map.ts';
import type { DatabaseTokens } from '../../tokens/database-tokens.ts';
import { digestOf } from '../../tokens/token-text.ts';
import { endWithToken, RECHECK_MS } from './end-with-token.ts';
import { addressKey, createLimiter, tooMany, type Limiter, type RateSettings } from './rate-limits.ts';
import { createScrapeRule } from './scrape-rule.ts';
import type { Server } from '../answers/typed-server.ts';

/**
 * Who may call a route: everyone, the roles named, (`piece`) ops, read and the storage provider of a deal, or (`scrape`)
 * ops, read and whoever calls from a machine that is named for it.
 */
type Access = 'public' | 'piece' | 'scrape' | readonly TokenRole[];

/** Who is calling: one of our tokens, or a storage provider with the token of its deal. */
type Caller = { kind: 'token'; name: string; role: TokenRole } | { kind: 'deal'; dealId: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route says who may call it; a route that does not is refused when it is declared. */
    access?: Access;
    /** The answer goes on until somebody ends it: it ends with the caller's token too. */
    endless?: boolean;
    /** Answers as the nft.storage client knows them: `{ok, value}` and `{ok, error}`. */
    compatible?: boolean;
  }
  interface FastifyRequest {
    /** On a public route only of a caller who showed a good token. */
    caller: Caller | undefined;
  }
}

interface AuthDeps {
  /** Those of the configuration. */
  tokens: readonly ApiToken[];
  databaseTokens: Pick<DatabaseTokens, 'find'>;
  /** The deal's uuid when the text is a piece token of ours. */
  verifyPieceToken(token: string): string | undefined;
  /** Undefined: no limits. */
  rateLimits?: RateSettings | undefined;
  /** Addresses, networks and names of ranges from where `scrape` wants no token. */
  metricsFrom?: readonly string[];
  /** Milliseconds that only go forward. */
  monotonicMs?: () => number;
  recheckMs?: number;
  /** Told of every route as it is declared, `GET /check/:cid`: a test has to know them all. */
  onRoute?(route: string): void;
}

/** Of what providers and machines read. */
const READING_ROLES: readonly TokenRole[] = ['ops', 'read'];
/** No token of ours is longer, and hashing must stay cheap. */
const MAX_TOKEN_CHARS = 1024;
/** Pairs of a good token and an address it came from; of more, the oldest counts as never seen. */
const MAX_SEEN = 10_000;

/** Finds the token among ours. Every one is compared, by hash and in constant time, so that time tells nothing. */
function findConfigured(
  known: readonly (ApiToken & { digest: Buffer })[],
  given: Buffer,
): { name: string; role: TokenRole } | undefined {
  const equal = known.filter((one) => timingSafeEqual(one.digest, given));
  return equal[0];
}

function bearerOf(request: FastifyRequest): string | undefined {
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  return token !== undefined && token.length <= MAX_TOKEN_CHARS ? token : undefined;
}

/** Shuts every route but the public ones, before any of the body is read, and holds callers to their rates. */
export function guardRoutes(server: Server, deps: AuthDeps): void {
  const door = createDoor(deps);
  const mayScrape = createScrapeRule(deps.metricsFrom ?? []);
  server.decorateRequest('caller', undefined);
  server.addHook('onRoute', ({ config, url, method }) => {
    if (config?.access === undefined) throw new Error(`the route ${url} does not say who may call it`);
    for (const one of [method].flat()) deps.onRoute?.(`${one} ${url}`);
  });
  server.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config.access ?? 'public';
    const token = bearerOf(request);
    if (access === 'public') request.caller = token === undefined ? undefined : await door.recognize(token, request.ip);
    else if (token !== undefined) request.caller = await door.admit(token, request.ip);
    // Pieces have limits of their own, of connections and bytes: a provider that fetches by ranges calls often.
    if (access !== 'piece' || request.caller === undefined) door.limit(request);
    if (access === 'public' || (access === 'scrape' && mayScrape(request))) return;
    if (request.caller === undefined) {
      throw new LadingError('UNAUTHORIZED', 'send one of the configured tokens as Authorization: Bearer …');
    }
    checkAccess(request.caller, access);
    if (request.routeOptions.config.endless && token !== undefined) {
      endWithToken(reply.raw, deps.recheckMs ?? RECHECK_MS, () => door.isGood(token));
    }
  });
}

/** Tells who a token is of, and when somebody comes too often. */
function createDoor(deps: AuthDeps) {
  const { databaseTokens, rateLimits, verifyPieceToken, monotonicMs = () => performance.now() } = deps;
  const configured = deps.tokens.map((one) => ({ ...one, digest: digestOf(one.token) }));
  const limits = {
    token: createLimiter(rateLimits?.token, monotonicMs),
    public: createLimiter(rateLimits?.public, monotonicMs),
    failed: createLimiter(rateLimits?.failed, monotonicMs),
    /** Apart: who reads public pages with an old token is shut out of nothing else. */
    shown: createLimiter(rateLimits?.failed, monotonicMs),
  };
  const seen = new RecentMap<string, true>(MAX_SEEN);
  const findOwn = async (token: string, digest: Buffer): Promise<Caller | undefined> => {
    const found = findConfigured(configured, digest) ?? (await databaseTokens.find(token, digest));
    return found && { kind: 'token', name: found.name, role: found.role };
  };
  const findDeal = (token: string): Caller | undefined => {
    const dealId = verifyPieceToken(token);
    return dealId === undefined ? undefined : { kind: 'deal', dealId };
  };
  /**
   * An address that showed too many tokens is not listened to for a while, so that nobody tries them out, but for those
   * that were good from there before: a neighbour's faults lock nobody out. Counted before it is known whether the token
   * is good, or as many could be tried as fit in the time of one look.
   */
  const findFrom = async (token: string, address: string, limiter: Limiter): Promise<Caller | undefined> => {
    const digest = digestOf(token);
    const from = addressKey(address);
    const pair = `${from} ${digest.toString('base64')}`;
    const waitMs = seen.get(pair) ? 0 : limiter.take(from);
    if (waitMs > 0) throw tooMany('unknown tokens from this address', waitMs);
    const caller = await findOwn(token, digest);
    if (caller === undefined) seen.delete(pair);
    else seen.set(pair, true);
    return caller;
  };
  return {
    async isGood(token: string): Promise<boolean> {
      return findDeal(token) !== undefined || (await findOwn(token, digestOf(token))) !== undefined;
    },
    /** Who it is, where nobody has to be anybody: neither doubt nor a database that is away is a reason to refuse. */
    async recognize(token: string, address: string): Promise<Caller | undefined> {
      return await findFrom(token, address, limits.shown).catch(() => undefined);
    },
    /** Throws `UNAUTHORIZED` for a token that is none of ours. Piece tokens cannot be tried out, and never wait. */
    async admit(token: string, address: string): Promise<Caller> {
      const caller = findDeal(token) ?? (await findFrom(token, address, limits.failed));
      if (caller === undefined) throw new LadingError('UNAUTHORIZED', 'the token is not one of ours, or not any more');
      return caller;
    },
    limit({ caller, ip }: FastifyRequest): void {
      const ours = caller?.kind === 'token';
      const waitMs = ours ? limits.token.take(caller.name) : limits.public.take(addressKey(ip));
      if (waitMs > 0) throw tooMany(ours ? 'requests with this token' : 'requests from this address', waitMs);
    },
  };
}

function checkAccess(caller: Caller, access: Exclude<Access, 'public'>): void {
  if (caller.kind === 'deal') {
    if (access !== 'piece') throw new LadingError('FORBIDDEN', 'a piece token fetches its piece and nothing else');
    return;
  }
  const allowed = typeof access === 'string' ? READING_ROLES : access;
  if (!allowed.includes(caller.role)) {
    throw new LadingError('FORBIDDEN', `this needs a token of role ${allowed.join(' or ')}, not ${caller.role}`);
  }
}

/** The name of the calling token; only for routes whose access names roles. */
export function callerName(request: FastifyRequest): string {
  if (request.caller?.kind !== 'token')
    throw new Error(`${request.routeOptions.url} is not called with a token of ours`);
  return request.caller.name;
}

/** Who acts, for the audit, and why when they say so; only for routes whose access names roles. */
export function actOf(request: FastifyRequest, reason?: string): Act {
  return { by: callerName(request), ...(reason !== undefined && { reason }) };
}
