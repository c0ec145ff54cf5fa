import { timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Clock } from '../../clock.ts';
import type { ApiToken, TokenRole } from '../../config.ts';
import { LadingError } from '../../errors.ts';
import { RecentMap } from '../../recent-map.ts';
import type { DatabaseTokens } from '../../tokens/database-tokens.ts';
import { digestOf } from '../../tokens/token-text.ts';
import { isFromOwnPage } from './own-page.ts';
import { addressKey, createLimiter, tooMany, type Limiter, type RateSettings } from './rate-limits.ts';
import type { Seat, SessionCookies } from './session-cookie.ts';

/** Who is calling: one of our tokens, or a storage provider with the token of its deal. */
export type Caller = { kind: 'token'; name: string; role: TokenRole } | { kind: 'deal'; dealId: string };

export interface DoorDeps {
  clock: Clock;
  /** Those of the configuration. */
  tokens: readonly ApiToken[];
  databaseTokens: Pick<DatabaseTokens, 'find' | 'findByDigest'>;
  sessions: SessionCookies;
  /** The deal's uuid when the text is a piece token of ours. */
  verifyPieceToken(token: string): string | undefined;
  /** Undefined: no limits. */
  rateLimits?: RateSettings | undefined;
  /** Milliseconds that only go forward. */
  monotonicMs?: () => number;
}

/** What somebody shows to be let in: a token, or the cookie of a session (with the whole header, as it came). */
type Shown = { kind: 'token'; token: string } | { kind: 'session'; header: string };
type From = Pick<FastifyRequest, 'ip' | 'method' | 'headers' | 'host'>;

export type Door = ReturnType<typeof createDoor>;

/** No token of ours is longer, and hashing must stay cheap. */
const MAX_TOKEN_CHARS = 1024;
/** Pairs of a good token and an address it came from; of more, the oldest counts as never seen. */
const MAX_SEEN = 10_000;

type Configured = ApiToken & { digest: Buffer };

/** Finds the token among ours. Every one is compared, by hash and in constant time, so that time tells nothing. */
function findConfigured(known: readonly Configured[], given: Buffer): Configured | undefined {
  const equal = known.filter((one) => timingSafeEqual(one.digest, given));
  return equal[0];
}

function bearerOf({ headers }: From): string | undefined {
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '')?.[1];
  return token !== undefined && token.length <= MAX_TOKEN_CHARS ? token : undefined;
}

/** Tells who a token or a session is of, and when somebody comes too often. */
export function createDoor(deps: DoorDeps) {
  const { rateLimits, monotonicMs = () => performance.now() } = deps;
  const limits = {
    token: createLimiter(rateLimits?.token, monotonicMs),
    public: createLimiter(rateLimits?.public, monotonicMs),
    failed: createLimiter(rateLimits?.failed, monotonicMs),
    /** Apart: who reads public pages with an old token is shut out of nothing else. */
    shown: createLimiter(rateLimits?.failed, monotonicMs),
  };
  const known = createRegister(deps);
  const findFrom = limitTries(known.findOwn);
  const find = async (shown: Shown): Promise<Caller | undefined> =>
    shown.kind === 'session'
      ? await known.findSession(shown.header)
      : (known.findDeal(shown.token) ?? (await known.findOwn(shown.token, digestOf(shown.token))));
  return {
    /** A token goes before a cookie: whoever sends one means it. */
    shownBy(request: From): Shown | undefined {
      const token = bearerOf(request);
      if (token !== undefined) return { kind: 'token', token };
      const { authorization, cookie } = request.headers;
      if (authorization !== undefined || cookie === undefined) return undefined;
      return deps.sessions.read(cookie, deps.clock.now()) && { kind: 'session', header: cookie };
    },
    async isGood(shown: Shown): Promise<boolean> {
      return (await find(shown)) !== undefined;
    },
    /** Who it is, where nobody has to be anybody: neither doubt nor a database that is away is a reason to refuse. */
    async recognize(shown: Shown, from: From): Promise<Caller | undefined> {
      if (shown.kind === 'token') return await findFrom(shown.token, from.ip, limits.shown).catch(() => undefined);
      return isFromOwnPage(from) ? await known.findSession(shown.header).catch(() => undefined) : undefined;
    },
    /** Throws `UNAUTHORIZED` for what is none of ours. Piece tokens and cookies cannot be tried out, and never wait. */
    async admit(shown: Shown, from: From): Promise<Caller> {
      if (shown.kind === 'session') return await admitSession(known, shown.header, from);
      const caller = known.findDeal(shown.token) ?? (await findFrom(shown.token, from.ip, limits.failed));
      if (caller === undefined) throw new LadingError('UNAUTHORIZED', 'the token is not one of ours, or not any more');
      return caller;
    },
    /** For who shows a token of ours: who they are, and the cookie of their session. Throws `UNAUTHORIZED`. */
    async openSession(token: string, { ip, secure }: { ip: string; secure: boolean }) {
      const caller = token.length > MAX_TOKEN_CHARS ? undefined : await findFrom(token, ip, limits.failed);
      if (caller === undefined) throw new LadingError('UNAUTHORIZED', 'the token is not one of ours, or not any more');
      const digest = digestOf(token);
      const now = deps.clock.now();
      return { caller, cookie: deps.sessions.make(known.seatOf(digest), { digest, now, secure }) };
    },
    limit({ caller, ip }: FastifyRequest): void {
      const ours = caller?.kind === 'token';
      const waitMs = ours ? limits.token.take(caller.name) : limits.public.take(addressKey(ip));
      if (waitMs > 0) throw tooMany(ours ? 'requests with this token' : 'requests from this address', waitMs);
    },
  };
}

async function admitSession({ findSession }: Register, header: string, from: From): Promise<Caller> {
  if (!isFromOwnPage(from)) {
    throw new LadingError('FORBIDDEN', 'a session opens the door to the dashboard alone: other callers send a token');
  }
  const caller = await findSession(header);
  if (caller === undefined) throw new LadingError('UNAUTHORIZED', 'the session is over: log in again');
  return caller;
}

type OwnCaller = Extract<Caller, { kind: 'token' }>;
type Register = ReturnType<typeof createRegister>;

/** Whom we know, by what they show. */
function createRegister({ tokens, databaseTokens, sessions, clock, verifyPieceToken }: DoorDeps) {
  const configured: readonly Configured[] = tokens.map((one) => ({ ...one, digest: digestOf(one.token) }));
  const callerOf = (found: Pick<ApiToken, 'name' | 'role'> | undefined): OwnCaller | undefined =>
    found && { kind: 'token', name: found.name, role: found.role };
  return {
    async findOwn(token: string, digest: Buffer): Promise<OwnCaller | undefined> {
      return callerOf(findConfigured(configured, digest) ?? (await databaseTokens.find(token, digest)));
    },
    findDeal(token: string): Caller | undefined {
      const dealId = verifyPieceToken(token);
      return dealId === undefined ? undefined : { kind: 'deal', dealId };
    },
    seatOf(digest: Buffer): Seat {
      const found = findConfigured(configured, digest);
      return found === undefined ? { kind: 'made', digest } : { kind: 'configured', name: found.name };
    },
    /** Asks the database only for what we made ourselves. */
    async findSession(header: string): Promise<OwnCaller | undefined> {
      const read = sessions.read(header, clock.now());
      if (read === undefined) return undefined;
      const { seat, isGenuine } = read;
      if (seat.kind === 'made') {
        return isGenuine(seat.digest) ? callerOf(await databaseTokens.findByDigest(seat.digest)) : undefined;
      }
      return callerOf(configured.find(({ name, digest }) => name === seat.name && isGenuine(digest)));
    },
  };
}

/**
 * An address that showed too many tokens is not listened to for a while, so that nobody tries them out, but for those
 * that were good from there before: a neighbour's faults lock nobody out. Counted before it is known whether the token
 * is good, or as many could be tried as fit in the time of one look.
 */
function limitTries(findOwn: Register['findOwn']) {
  const seen = new RecentMap<string, true>(MAX_SEEN);
  return async (token: string, address: string, limiter: Limiter): Promise<OwnCaller | undefined> => {
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
}
