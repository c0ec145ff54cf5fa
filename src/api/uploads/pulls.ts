import type { FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { withoutQuery } from '../../log/redact.ts';
import { checkSource, type Sources } from '../../pulls/open-source.ts';
import {
  askForPull,
  cancelPull,
  countPulls,
  findPull,
  listPullEvents,
  listPulls,
  type Pull,
} from '../../pulls/pull-store.ts';
import { listOf, listPage, listQuery } from '../answers/list-page.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { decodeCursor, exactly, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';
import { callerName } from '../door/auth.ts';
import { ownerOf } from '../events/event-place.ts';

export interface PullDeps {
  kysely: Kysely<DB>;
  jobs: Pick<Jobs, 'send'>;
  pullSources: Sources;
}

const MAX_URL_CHARS = 2_000;
const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

const EXAMPLE_URL = 'https://files.example.com/some.car';
const state = Type.Union([
  Type.Literal('waiting'),
  Type.Literal('pulled'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
]);
const error = Type.Union(
  [
    Type.Null(),
    exactly({
      code: Type.String({ examples: ['ORIGIN_SLOW'] }),
      message: Type.String({ examples: ['files.example.com: no answer within 60000 ms'] }),
    }),
  ],
  {
    description: 'of the last attempt, unless it got to the end',
  },
);
const pullProperties = {
  id: Type.String(),
  owner: Type.String({ description: 'name of the token that asked for it, and that the upload then belongs to' }),
  url: Type.String({ examples: [EXAMPLE_URL] }),
  wantedCid: Type.Union([Type.String(), Type.Null()], { description: 'the root that the CAR must have' }),
  state,
  created: Type.String(),
  settled: Type.Union([Type.String(), Type.Null()], { description: 'when it came to its end' }),
  fetching: Type.Boolean({ description: 'it is fetched just now' }),
  attempts: Type.Integer({ description: 'since it last got further' }),
  nextAttempt: Type.Union([Type.String(), Type.Null()], { description: 'while it waits: when it is tried (again)' }),
  error,
  size: Type.Union([Type.Number(), Type.Null()], { description: 'bytes, as the origin tells' }),
  pulled: Type.Number({ description: 'bytes that came' }),
  cid: Type.Union([Type.String(), Type.Null()], { description: 'root of the upload that it became: see /check/{cid}' }),
};
const pullSchema = exactly(pullProperties);
const shownSchema = exactly({
  ...pullProperties,
  events: Type.Array(exactly({ at: Type.String(), kind: Type.String(), pulled: Type.Number(), error }), {
    description: 'what became of it, oldest first; the latest 200',
  }),
});

const tags = ['uploads'];
const failures = { '4xx': problem, '5xx': problem };
const params = exactly({ id: Type.String({ pattern: UUID, description: 'as POST /uploads answers it' }) });
const readers = ['upload', 'ops', 'read'] as const;

/** Uploads by URL. A token of role upload sees its own alone. */
export function pullRoutes(server: Server, deps: PullDeps): void {
  askRoute(server, deps);
  listRoute(server, deps);
  oneRoute(server, deps);
  cancelRoute(server, deps);
}

function askRoute(server: Server, deps: PullDeps): void {
  const body = exactly({
    url: Type.String({
      maxLength: MAX_URL_CHARS,
      examples: [EXAMPLE_URL],
      description: 'http, https or s3://bucket/key[?endpoint=…&region=…], at a public address',
    }),
    cid: Type.Optional(Type.String({ maxLength: 200, description: 'the root that the CAR must have' })),
  });
  server.post(
    '/uploads',
    {
      config: {
        access: ['upload'],
        errors: ['ADDRESS_NOT_PUBLIC', 'CONFLICT', 'INVALID_CID', 'TOO_MANY_PULLS', 'UNRESOLVED', 'URL_REFUSED'],
      },
      schema: {
        tags,
        summary: 'Have an upload fetched from a URL',
        description:
          'A CAR, which the service fetches, verifies and keeps as if it had been sent to POST /upload. A connection that breaks is taken up where it broke, for up to a day. Asking again while it waits changes nothing.',
        querystring: exactly({}),
        body,
        response: { 202: pullSchema, ...failures },
      },
    },
    async (request, reply) => {
      const { url: text, cid } = request.body;
      const wantedRoot = cid === undefined ? undefined : canonicalRoot(cid);
      const url = await checkSource(deps.pullSources, text);
      const owner = callerName(request);
      const id = await askForPull({ db: deps.kysely, jobs: deps.jobs }, { owner, url, wantedRoot });
      if (id === undefined)
        throw new LadingError('TOO_MANY_PULLS', `${owner} has as many uploads by URL waiting as it may: wait for some`);
      return reply.code(202).send(pullAnswer(await findOwn(deps, request, id), request));
    },
  );
}

function listRoute(server: Server, deps: PullDeps): void {
  server.get(
    '/uploads/pulls',
    {
      config: { access: readers, errors: ['INVALID_CURSOR'] },
      schema: {
        tags,
        summary: 'Uploads by URL, newest first',
        description: 'What was asked for by POST /uploads, and how far it has come: of the calling token, or of all.',
        querystring: exactly({ ...listQuery, state: Type.Optional(state) }),
        response: { 200: listOf(pullSchema), ...failures },
      },
    },
    async (request) => {
      const { query } = request;
      const filter = { owner: ownerOf(request), state: query.state };
      const after = query.cursor === undefined ? undefined : parseCursor(query.cursor);
      return listPage(query, {
        read: (limit) => listPulls(deps.kysely, filter, { after, limit }),
        place: ({ pull, age }) => [age.toString(), pull.id],
        answer: ({ pull }) => pullAnswer(pull, request),
        count: () => countPulls(deps.kysely, filter),
      });
    },
  );
}

function parseCursor(cursor: string) {
  const [age = '', id = ''] = decodeCursor(cursor, [/^-?\d{1,17}$/, new RegExp(UUID)]);
  return { age: BigInt(age), id };
}

function oneRoute(server: Server, deps: PullDeps): void {
  server.get(
    '/uploads/pulls/:id',
    {
      config: { access: readers, errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'An upload by URL',
        description: 'How far it has come, and what became of each attempt.',
        params,
        querystring: exactly({}),
        response: { 200: shownSchema, ...failures },
      },
    },
    async (request) => {
      const pull = await findOwn(deps, request, request.params.id);
      const events = await listPullEvents(deps.kysely, pull.id);
      return {
        ...pullAnswer(pull, request),
        events: events.map(({ at, kind, pulledBytes, error: fault }) => ({
          at: timeOf(at),
          kind,
          pulled: pulledBytes,
          error: fault ?? null,
        })),
      };
    },
  );
}

function cancelRoute(server: Server, deps: PullDeps): void {
  server.delete(
    '/uploads/pulls/:id',
    {
      config: { access: ['upload', 'ops'], errors: ['CONFLICT', 'NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Cancel an upload by URL',
        description: 'While it waits or is fetched. What it became already is deleted as any upload: DELETE /{cid}.',
        params,
        querystring: exactly({}),
        response: { 200: pullSchema, ...failures },
      },
    },
    async (request) => {
      const { id } = request.params;
      const cancelled = await cancelPull(deps.kysely, id, ownerOf(request));
      const pull = await findOwn(deps, request, id);
      if (!cancelled && pull.state !== 'cancelled')
        throw new LadingError('CONFLICT', `it is ${pull.state} already: there is nothing to cancel`);
      return pullAnswer(pull, request);
    },
  );
}

/** Another token's pull is not there at all. */
async function findOwn(deps: PullDeps, request: FastifyRequest, id: string): Promise<Pull> {
  const found = await findPull(deps.kysely, id, ownerOf(request));
  if (found === undefined) throw new LadingError('NOT_FOUND', `there is no upload by URL ${id}`);
  return found;
}

const timeOf = (at: Date) => formatOffsetTime(at, 'microseconds');

/** A URL that was signed for its asker opens what it names: others see where it leads, and not what opens it. */
function pullAnswer(pull: Pull, request: FastifyRequest) {
  const { id, owner, url, wantedRoot, createdAt, settledAt, nextAttemptAt, attempts, error: fault } = pull;
  return {
    id,
    owner,
    url: ownerOf(request) === owner ? url : withoutQuery(url),
    state: pull.state,
    attempts,
    fetching: pull.underWay,
    wantedCid: wantedRoot ?? null,
    created: timeOf(createdAt),
    settled: settledAt === undefined ? null : timeOf(settledAt),
    nextAttempt: pull.state === 'waiting' && !pull.underWay ? timeOf(nextAttemptAt) : null,
    error: fault ?? null,
    size: pull.sizeBytes ?? null,
    pulled: pull.pulledBytes,
    cid: pull.root ?? null,
  };
}
