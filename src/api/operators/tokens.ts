import { randomBytes } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { ApiToken } from '../../config.ts';
import type { DB } from '../../db/tables.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { BadInput } from '../../errors.ts';
import type { DatabaseTokens } from '../../tokens/database-tokens.ts';
import { createToken, revokeToken } from '../../tokens/manage-tokens.ts';
import { parseExpiry } from '../../tokens/token-expiry.ts';
import { listTokens, type Token } from '../../tokens/token-store.ts';
import { standingOf } from '../../tokens/token-standing.ts';
import { actOf } from '../door/auth.ts';
import { MAX_REASON_CHARS, reasonBody } from './providers.ts';
import {
  decodeCursor,
  encodeCursor,
  exactly,
  nullableText,
  pageLimit,
  pageQuery,
  problem,
} from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface TokenDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  /** Those of the configuration. */
  tokens: readonly ApiToken[];
}

const role = Type.Union([Type.Literal('upload'), Type.Literal('ops'), Type.Literal('read')], {
  description: 'upload: sends and checks; read: reads all; ops: reads and changes all',
});
const tokenId = Type.String({ pattern: '^[1-9][0-9]{0,17}$', description: 'as GET /tokens names it' });

const shown = {
  id: Type.Union([Type.String(), Type.Null()], { description: 'null for a token of the configuration' }),
  name: Type.String({ description: 'owner of what is uploaded with it, actor of what is done with it' }),
  role,
  source: Type.Union([Type.Literal('database'), Type.Literal('configuration')]),
  state: Type.Union(
    [Type.Literal('active'), Type.Literal('expired'), Type.Literal('revoked'), Type.Literal('shadowed')],
    { description: 'shadowed: a token of the configuration has this name, so this one opens nothing' },
  ),
  created: nullableText,
  createdBy: nullableText,
  expires: nullableText,
  lastUsed: Type.Union([Type.String(), Type.Null()], {
    description: 'up to a minute late; not kept for the configuration',
  }),
  revoked: nullableText,
  revokedBy: nullableText,
};
const tokenSchema = exactly(shown);
const createdSchema = exactly({
  ...shown,
  token: Type.String({ description: 'the token itself: shown now and never again' }),
});
const failures = { '4xx': problem, '5xx': problem };
const tags = ['tokens'] as const;

export function tokenRoutes(server: Server, deps: TokenDeps, databaseTokens: Pick<DatabaseTokens, 'forget'>): void {
  createRoute(server, deps);
  listRoute(server, deps);
  revokeRoute(server, deps, databaseTokens);
}

function createRoute(server: Server, deps: TokenDeps): void {
  const body = exactly({
    name: Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'letters, digits, . _ - @; not that of another token',
    }),
    role,
    expires: Type.Optional(
      Type.String({
        maxLength: 40,
        description: 'RFC 3339 time, such as 2030-01-31T00:00:00Z',
        examples: ['2030-01-31T00:00:00Z'],
      }),
    ),
    reason: reasonBody,
  });
  server.post(
    '/tokens',
    {
      config: { access: ['ops'], errors: ['TOKEN_INVALID', 'TOKEN_NAME_TAKEN'] },
      schema: {
        summary: 'Make a token',
        description:
          'Answers with the token once: only its SHA-256 is kept. It opens the door in every process at once. A name that was revoked may be given again, and owns what it owned.',
        tags,
        body,
        querystring: exactly({}),
        response: { 201: createdSchema, ...failures },
      },
    },
    async (request, reply) => {
      const { name, role: wanted, expires, reason } = request.body;
      const given = { name, role: wanted, expiresAt: expiryOf(expires), ...actOf(request, reason) };
      const { token, text } = await createToken({ ...manageDeps(deps), randomBytes }, given);
      neverStored(reply);
      return reply.code(201).send({ ...tokenAnswer(token, deps), token: text });
    },
  );
}

function listRoute(server: Server, deps: TokenDeps): void {
  server.get(
    '/tokens',
    {
      config: { access: ['ops'], errors: ['INVALID_CURSOR'] },
      schema: {
        summary: 'List tokens',
        description:
          'Those of the configuration on the first page, then those of the database, the newest first, revoked and expired ones too. Tokens themselves are not kept, so not shown.',
        tags,
        querystring: exactly(pageQuery),
        response: { 200: exactly({ items: Type.Array(tokenSchema), next: nullableText }), ...failures },
      },
    },
    async ({ query }) => {
      const limit = pageLimit(query);
      const { cursor } = query;
      const beforeId = cursor === undefined ? {} : { beforeId: BigInt(decodeCursor(cursor, [/^\d{1,18}$/]).join('')) };
      const rows = await listTokens(deps.kysely, { limit, ...beforeId });
      const last = rows.length < limit ? undefined : rows.at(-1);
      const configured = cursor === undefined ? deps.tokens.map(configuredAnswer) : [];
      return {
        items: [...configured, ...rows.map((token) => tokenAnswer(token, deps))],
        next: last === undefined ? null : encodeCursor([last.id.toString()]),
      };
    },
  );
}

function revokeRoute(server: Server, deps: TokenDeps, databaseTokens: Pick<DatabaseTokens, 'forget'>): void {
  server.delete(
    '/tokens/:id',
    {
      config: { access: ['ops'], errors: ['NOT_FOUND'] },
      schema: {
        summary: 'Revoke a token',
        description:
          'For good: it opens nothing any more here, and in other processes two seconds later. Revoking it again changes nothing. Tokens of the configuration end with it.',
        tags,
        params: exactly({ id: tokenId }),
        querystring: exactly({
          reason: Type.Optional(Type.String({ maxLength: MAX_REASON_CHARS, description: 'why, for the audit' })),
        }),
        response: { 200: tokenSchema, ...failures },
      },
    },
    async (request) => {
      const act = actOf(request, request.query.reason);
      const revoked = await revokeToken({ db: deps.kysely, clock: deps.clock }, BigInt(request.params.id), act);
      databaseTokens.forget();
      return tokenAnswer(revoked, deps);
    },
  );
}

function manageDeps({ kysely, clock, tokens }: TokenDeps) {
  return { db: kysely, clock, configuredNames: tokens.map(({ name }) => name) };
}

/** Neither a cache on the way nor the browser's keeps it. */
function neverStored(reply: FastifyReply): void {
  reply.header('cache-control', 'no-store');
}

function expiryOf(text: string | undefined): Date | undefined {
  const at = text === undefined ? undefined : parseExpiry(text);
  if (text === undefined || at !== undefined) return at;
  throw new BadInput('TOKEN_INVALID', 'expires: give a time such as 2030-01-31T00:00:00Z');
}

function configuredAnswer({ name, role: given }: ApiToken) {
  const nothing = { created: null, createdBy: null, expires: null, lastUsed: null, revoked: null, revokedBy: null };
  return { id: null, name, role: given, source: 'configuration' as const, state: 'active' as const, ...nothing };
}

function tokenAnswer(token: Token, { clock, tokens }: TokenDeps) {
  const time = (at: Date | undefined) => (at === undefined ? null : formatOffsetTime(at, 'microseconds'));
  return {
    id: token.id.toString(),
    name: token.name,
    role: token.role,
    source: 'database' as const,
    state: standingOf(token, { now: clock.now(), configuredNames: tokens.map(({ name }) => name) }),
    created: time(token.createdAt),
    createdBy: token.createdBy,
    expires: time(token.expiresAt),
    lastUsed: time(token.lastUsedAt),
    revoked: time(token.revokedAt),
    revokedBy: token.revokedBy ?? null,
  };
}
