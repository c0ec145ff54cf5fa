import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { ApiToken, TokenRole } from '../config.ts';
import type { Act } from '../deals/audit.ts';
import { LadingError } from '../errors.ts';
import type { Server } from './typed-server.ts';

/** Who may call a route: everyone, the roles named, or (`piece`) ops, read and the storage provider of a deal. */
type Access = 'public' | 'piece' | readonly TokenRole[];

/** Who is calling: one of our tokens, or a storage provider with the token of its deal. */
type Caller = { kind: 'token'; name: string; role: TokenRole } | { kind: 'deal'; dealId: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route says who may call it; a route that does not is refused when it is declared. */
    access?: Access;
    /** Answers as the nft.storage client knows them: `{ok, value}` and `{ok, error}`. */
    compatible?: boolean;
  }
  interface FastifyRequest {
    caller: Caller | undefined;
  }
}

interface AuthDeps {
  tokens: readonly ApiToken[];
  /** The deal's uuid when the text is a piece token of ours. */
  verifyPieceToken(token: string): string | undefined;
}

const PIECE_ROLES: readonly TokenRole[] = ['ops', 'read'];
/** No token of ours is longer, and hashing must stay cheap. */
const MAX_TOKEN_CHARS = 1024;

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Finds the token among ours. Every one is compared, by hash and in constant time, so that time tells nothing. */
function findToken(known: readonly (ApiToken & { digest: Buffer })[], token: string): ApiToken | undefined {
  const given = digest(token);
  const equal = known.filter((one) => timingSafeEqual(one.digest, given));
  return equal[0];
}

function bearerOf(request: FastifyRequest): string | undefined {
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  return token !== undefined && token.length <= MAX_TOKEN_CHARS ? token : undefined;
}

/** Shuts every route but the public ones, before any of the body is read. */
export function guardRoutes(server: Server, deps: AuthDeps): void {
  const known = deps.tokens.map((one) => ({ ...one, digest: digest(one.token) }));
  const identify = (token: string): Caller | undefined => {
    const found = findToken(known, token);
    if (found !== undefined) return { kind: 'token', name: found.name, role: found.role };
    const dealId = deps.verifyPieceToken(token);
    return dealId === undefined ? undefined : { kind: 'deal', dealId };
  };
  server.decorateRequest('caller', undefined);
  server.addHook('onRoute', ({ config, url }) => {
    if (config?.access === undefined) throw new Error(`the route ${url} does not say who may call it`);
  });
  server.addHook('onRequest', async (request) => {
    const access = request.routeOptions.config.access ?? 'public';
    if (access === 'public') return;
    const token = bearerOf(request);
    const caller = token === undefined ? undefined : identify(token);
    if (caller === undefined) throw unauthorized(token);
    checkAccess(caller, access);
    request.caller = caller;
  });
}

function checkAccess(caller: Caller, access: Exclude<Access, 'public'>): void {
  if (caller.kind === 'deal') {
    if (access !== 'piece') throw new LadingError('FORBIDDEN', 'a piece token fetches its piece and nothing else');
    return;
  }
  const allowed = access === 'piece' ? PIECE_ROLES : access;
  if (!allowed.includes(caller.role)) {
    throw new LadingError('FORBIDDEN', `this needs a token of role ${allowed.join(' or ')}, not ${caller.role}`);
  }
}

function unauthorized(token: string | undefined): LadingError {
  return token === undefined
    ? new LadingError('UNAUTHORIZED', 'send one of the configured tokens as Authorization: Bearer …')
    : new LadingError('UNAUTHORIZED', 'the token is not one of the configured ones');
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
