import type { FastifyRequest } from 'fastify';
import type { TokenRole } from '../../config.ts';
import type { Act } from '../../deals/audit.ts';
import { LadingError } from '../../errors.ts';
import { createDoor, type Caller, type Door, type DoorDeps } from './callers.ts';
import { endWithToken, RECHECK_MS } from './end-with-token.ts';
import { createScrapeRule } from './scrape-rule.ts';
import type { Server } from '../answers/typed-server.ts';

/**
 * Who may call a route: everyone, the roles named, (`piece`) ops, read and the storage provider of a deal, or (`scrape`)
 * ops, read and whoever calls from a machine that is named for it.
 */
type Access = 'public' | 'piece' | 'scrape' | readonly TokenRole[];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route says who may call it; a route that does not is refused when it is declared. */
    access?: Access;
    /** The answer goes on until somebody ends it: it ends with the caller's token too. */
    endless?: boolean;
    /** Answers as the nft.storage client knows them: `{ok, value}` and `{ok, error}`. */
    compatible?: boolean;
    /** Errors as the IPFS Pinning Service API has them: `{error: {reason, details}}`. */
    pinning?: boolean;
  }
  interface FastifyRequest {
    /** On a public route only of a caller who showed a good token, or the cookie of a session. */
    caller: Caller | undefined;
  }
}

interface AuthDeps extends DoorDeps {
  /** Addresses, networks and names of ranges from where `scrape` wants no token. */
  metricsFrom?: readonly string[];
  recheckMs?: number;
  /** Told of every route as it is declared, `GET /check/:cid`: a test has to know them all. */
  onRoute?(route: string): void;
}

/** Of what providers and machines read. */
const READING_ROLES: readonly TokenRole[] = ['ops', 'read'];

/** Shuts every route but the public ones, before any of the body is read, and holds callers to their rates. */
export function guardRoutes(server: Server, deps: AuthDeps): Door {
  const door = createDoor(deps);
  const mayScrape = createScrapeRule(deps.metricsFrom ?? []);
  server.decorateRequest('caller', undefined);
  server.addHook('onRoute', ({ config, url, method }) => {
    if (config?.access === undefined) throw new Error(`the route ${url} does not say who may call it`);
    for (const one of [method].flat()) deps.onRoute?.(`${one} ${url}`);
  });
  server.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config.access ?? 'public';
    const shown = door.shownBy(request);
    // What is shown for a token no cache between may keep (RFC 9111); of cookies they know nothing.
    if (shown?.kind === 'session') reply.header('cache-control', 'no-store');
    if (access === 'public') request.caller = shown && (await door.recognize(shown, request));
    else if (shown !== undefined) request.caller = await door.admit(shown, request);
    // Pieces have limits of their own, of connections and bytes: a provider that fetches by ranges calls often.
    if (access !== 'piece' || request.caller === undefined) door.limit(request);
    if (access === 'public' || (access === 'scrape' && mayScrape(request))) return;
    if (request.caller === undefined) {
      throw new LadingError('UNAUTHORIZED', 'send one of the configured tokens as Authorization: Bearer …');
    }
    checkAccess(request.caller, access);
    if (request.routeOptions.config.endless && shown !== undefined) {
      endWithToken(reply.raw, deps.recheckMs ?? RECHECK_MS, () => door.isGood(shown));
    }
  });
  return door;
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
