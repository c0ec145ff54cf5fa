import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { BadInput, LadingError } from '../../errors.ts';
import { listDeadLetters, redriveByHand } from '../../events/dead-letter-store.ts';
import { findHead } from '../../events/outbox.ts';
import { checkWebhookUrl } from '../../events/webhook-address.ts';
import type { AddressRules } from '../../public-address.ts';
import { deleteWebhook, insertWebhookUpTo, listWebhooks, type Webhook } from '../../events/webhook-store.ts';
import { actOf, callerName } from '../door/auth.ts';
import { reasonBody } from '../operators/providers.ts';
import { filterQuery, readFilter } from './event-filter.ts';
import { findPlace, ownerOf, placeQuery } from './event-place.ts';
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
import { createdSchema, deadAnswer, deadSchema, webhookAnswer, webhookSchema } from './webhook-answer.ts';

export interface WebhookDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  webhookSecret(webhookId: string): string;
  webhookRules: AddressRules;
}

/** Of one token: each is a reader of the outbox of its own. */
const MAX_WEBHOOKS = 20;
const MAX_URL_CHARS = 2_000;
const MAX_IDS = 1_000;

const access = ['upload', 'ops'] as const;
const tags = ['events'];
const failures = { '4xx': problem, '5xx': problem };
const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
const webhookId = Type.String({
  pattern: UUID,
  description: 'as GET /webhooks names it',
});
const params = exactly({ id: webhookId });

/** Changes of uploads by signed calls. A token of role upload sees and changes its own webhooks, one of ops all. */
export function webhookRoutes(server: Server, deps: WebhookDeps): void {
  createRoute(server, deps);
  listRoute(server, deps);
  oneRoutes(server, deps);
  deadRoute(server, deps);
  redriveRoute(server, deps);
}

function createRoute(server: Server, deps: WebhookDeps): void {
  const url = Type.String({ maxLength: MAX_URL_CHARS, description: 'http or https, at a public address' });
  server.post(
    '/webhooks',
    {
      config: {
        access,
        errors: ['INVALID_CID', 'INVALID_EVENT_ID', 'WEBHOOK_URL_REFUSED', 'TOO_MANY_WEBHOOKS'],
      },
      schema: {
        tags,
        summary: 'Make a webhook',
        description:
          'From now on, or from `after` on, changes of uploads are posted to the URL: {webhook, changes}, up to 500 changes as GET /events tells them, in order, each call signed by Lading-Signature: t=seconds,v1=hex HMAC-SHA256(secret, seconds + "." + body). Answer 2xx within 15 s to take a call; any other is tried again, less and less often, for days.',
        body: exactly({ url, ...filterQuery, ...placeQuery }),
        querystring: exactly({}),
        response: { 201: createdSchema, ...failures },
      },
    },
    async (request, reply) => {
      const { url: text, after, ...filter } = request.body;
      const owner = callerName(request);
      const checked = await checkWebhookUrl(text, deps.webhookRules);
      const wanted = readFilter(filter, ownerOf(request));
      const place = (await findPlace(deps.kysely, after)) ?? (await findHead(deps.kysely));
      const id = randomUUID();
      const made = { id, owner, url: checked, filter: wanted, at: deps.clock.now(), after: place };
      if (!(await insertWebhookUpTo(deps.kysely, MAX_WEBHOOKS, made))) {
        throw new LadingError('TOO_MANY_WEBHOOKS', `${owner} has ${MAX_WEBHOOKS} webhooks: delete one first`);
      }
      reply.code(201).header('cache-control', 'no-store');
      return { ...webhookAnswer(await findWebhook(deps, request, id)), secret: deps.webhookSecret(id) };
    },
  );
}

function listRoute(server: Server, deps: WebhookDeps): void {
  server.get(
    '/webhooks',
    {
      config: { access, errors: ['INVALID_CURSOR'] },
      schema: {
        tags,
        summary: 'List webhooks',
        description: 'Oldest first: those of the calling token, for role ops those of all.',
        querystring: exactly(pageQuery),
        response: { 200: exactly({ items: Type.Array(webhookSchema), next: nullableText }), ...failures },
      },
    },
    async (request) => {
      const limit = pageLimit(request.query);
      const after = readCursor(request.query.cursor);
      const found = await listWebhooks(deps.kysely, { owner: ownerOf(request), after, limit });
      const last = found.length < limit ? undefined : found.at(-1);
      const next = last === undefined ? null : encodeCursor([last.createdAt.toISOString(), last.id]);
      return { items: found.map(webhookAnswer), next };
    },
  );
}

function readCursor(cursor: string | undefined) {
  if (cursor === undefined) return undefined;
  const [time = '', id = ''] = decodeCursor(cursor, [
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
    new RegExp(UUID),
  ]);
  const createdAt = new Date(time);
  if (Number.isNaN(createdAt.getTime()))
    throw new BadInput('INVALID_CURSOR', 'the cursor is not one that this list gave');
  return { createdAt, id };
}

function oneRoutes(server: Server, deps: WebhookDeps): void {
  const config = { access, errors: ['NOT_FOUND'] } as const;
  server.get(
    '/webhooks/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Show a webhook',
        description: 'How far it has come, and why it does not when it fails.',
        params,
        querystring: exactly({}),
        response: { 200: webhookSchema, ...failures },
      },
    },
    async (request) => webhookAnswer(await findWebhook(deps, request, request.params.id)),
  );
  server.delete(
    '/webhooks/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a webhook',
        description: 'And its dead letters. A call under way may still arrive.',
        params,
        querystring: exactly({}),
        response: { 204: Type.Null(), ...failures },
      },
    },
    async (request, reply) => {
      await findWebhook(deps, request, request.params.id);
      await deleteWebhook(deps.kysely, request.params.id);
      return reply.code(204).send(null);
    },
  );
}

function deadRoute(server: Server, deps: WebhookDeps): void {
  server.get(
    '/webhooks/:id/dead',
    {
      config: { access, errors: ['NOT_FOUND', 'INVALID_CURSOR'] },
      schema: {
        tags,
        summary: 'List dead letters of a webhook',
        description: 'Calls that the receiver did not take in all the time that they were tried, oldest first.',
        params,
        querystring: exactly(pageQuery),
        response: { 200: exactly({ items: Type.Array(deadSchema), next: nullableText }), ...failures },
      },
    },
    async (request) => {
      const {
        params: { id },
        query,
      } = request;
      await findWebhook(deps, request, id);
      const limit = pageLimit(query);
      const afterId = query.cursor === undefined ? 0n : BigInt(decodeCursor(query.cursor, [/^\d{1,18}$/]).join(''));
      const dead = await listDeadLetters(deps.kysely, { webhookId: id, afterId, limit });
      const last = dead.length < limit ? undefined : dead.at(-1);
      return { items: dead.map(deadAnswer), next: last === undefined ? null : encodeCursor([last.id.toString()]) };
    },
  );
}

function redriveRoute(server: Server, deps: WebhookDeps): void {
  const ids = Type.Optional(
    Type.Array(Type.String({ pattern: '^[0-9]{1,18}$' }), { maxItems: MAX_IDS, description: 'left out: all of them' }),
  );
  server.post(
    '/webhooks/:id/redrive',
    {
      config: { access, errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Try dead letters once more',
        description:
          'Beside the calls in order; one that is taken is a dead letter no more. A call that waits for its next try, or whose receiver was gone (410), is tried at once too. Audited.',
        params,
        querystring: exactly({}),
        body: Type.Optional(Type.Union([exactly({ ids, reason: reasonBody }), Type.Null()])),
        response: { 202: exactly({ redriven: Type.Integer() }), ...failures },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await findWebhook(deps, request, id);
      const chosen = request.body?.ids?.map((text) => BigInt(text));
      const act = { ...actOf(request, request.body?.reason), at: deps.clock.now() };
      const redriven = await redriveByHand(deps.kysely, { webhookId: id, ids: chosen }, act);
      return reply.code(202).send({ redriven });
    },
  );
}

/** Another token's webhook is not there at all. */
async function findWebhook(deps: WebhookDeps, request: FastifyRequest, id: string): Promise<Webhook> {
  const [found] = await listWebhooks(deps.kysely, { owner: ownerOf(request), id, limit: 1 });
  if (found === undefined) throw new LadingError('NOT_FOUND', `there is no webhook ${id}`);
  return found;
}
