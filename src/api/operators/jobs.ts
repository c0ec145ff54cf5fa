import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { LadingError } from '../../errors.ts';
import { QUEUE_NAMES, type QueueName } from '../../jobs/job-queues.ts';
import { listQueues, listTroubledJobs, redriveJobs, type TroubledJob } from '../../jobs/job-troubles.ts';
import { actOf } from '../door/auth.ts';
import { parseTime } from '../answers/list-page.ts';
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
import { reasonBody } from './providers.ts';

export interface JobDeps {
  kysely: Kysely<DB>;
  clock: Clock;
}

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** More by hand is all of a queue. */
const MAX_IDS = 1_000;

const queue = Type.Unsafe<QueueName>(Type.Union(QUEUE_NAMES.map((name) => Type.Literal(name))));
const count = (description: string) => Type.Integer({ description });
const standingSchema = exactly({
  queue,
  waiting: count('due, and taken by nobody yet'),
  deferred: count('due at a later time'),
  retry: count('failed, and tried again at a later time'),
  active: count('in hand'),
  failed: count('given up: only a redrive brings them back'),
  oldestDue: Type.Union([Type.String(), Type.Null()], { description: 'since when the one due longest is due' }),
});
const troubledSchema = exactly({
  id: Type.String(),
  queue,
  data: Type.Record(Type.String(), Type.Unknown(), { description: 'the ids that it carries' }),
  state: Type.Union([Type.Literal('retry'), Type.Literal('failed')], { description: 'failed: it was given up' }),
  tries: Type.Integer(),
  error: Type.String({ description: 'why the last try failed' }),
  created: Type.String(),
  next: Type.Union([Type.String(), Type.Null()], { description: 'when it is tried again; null: it was given up' }),
});
const tags = ['machines'];
const failures = { '4xx': problem, '5xx': problem };

export function jobRoutes(server: Server, deps: JobDeps): void {
  queuesRoute(server, deps);
  troubledRoute(server, deps);
  redriveRoute(server, deps);
}

function queuesRoute(server: Server, deps: JobDeps): void {
  server.get(
    '/jobs',
    {
      config: { access: ['ops', 'read'] },
      schema: {
        tags,
        summary: 'How each queue of jobs stands',
        description: 'All queues on one page, those without jobs too.',
        querystring: exactly({}),
        response: { 200: exactly({ items: Type.Array(standingSchema), next: Type.Null() }), ...failures },
      },
    },
    async () => {
      const queues = await listQueues(deps.kysely);
      const items = queues.map(({ oldestDueAt, ...standing }) => ({ ...standing, oldestDue: timeOf(oldestDueAt) }));
      return { items, next: null };
    },
  );
}

function troubledRoute(server: Server, deps: JobDeps): void {
  server.get(
    '/jobs/troubled',
    {
      config: { access: ['ops', 'read'], errors: ['INVALID_CURSOR'] },
      schema: {
        tags,
        summary: 'List jobs that failed when they were last tried',
        description: 'Those that wait for their next try, and those that were given up. The oldest first.',
        querystring: exactly({ ...pageQuery, queue: Type.Optional(queue) }),
        response: { 200: exactly({ items: Type.Array(troubledSchema), next: nullableText }), ...failures },
      },
    },
    async ({ query }) => {
      const limit = pageLimit(query);
      const jobs = await listTroubledJobs(deps.kysely, {
        queue: query.queue,
        after: readCursor(query.cursor),
        limit: limit + 1,
      });
      const last = jobs.length > limit ? jobs[limit - 1] : undefined;
      return {
        items: jobs.slice(0, limit).map(troubledAnswer),
        next: last === undefined ? null : encodeCursor([last.createdAt.toISOString(), last.id]),
      };
    },
  );
}

function redriveRoute(server: Server, deps: JobDeps): void {
  const ids = Type.Optional(
    Type.Array(Type.String({ pattern: `^${UUID}$` }), {
      minItems: 1,
      maxItems: MAX_IDS,
      description: 'left out: all of the queue, or of all queues',
    }),
  );
  server.post(
    '/jobs/redrive',
    {
      config: { access: ['ops'], errors: ['NOT_FOUND'] },
      schema: {
        tags,
        summary: 'Try jobs that failed again now',
        description: 'One that was given up is tried once more. Audited, with the reason that is given.',
        body: Type.Union([exactly({ ids, queue: Type.Optional(queue), reason: reasonBody }), Type.Null()]),
        querystring: exactly({}),
        response: { 202: exactly({ redriven: Type.Integer() }), ...failures },
      },
    },
    async (request, reply) => {
      const { reason, ...chosen } = request.body ?? {};
      const act = { ...actOf(request, reason), at: deps.clock.now() };
      const redriven = await redriveJobs(deps.kysely, chosen, act);
      if (redriven === 0 && chosen.ids !== undefined)
        throw new LadingError(
          'NOT_FOUND',
          'no job with these ids failed and waits: GET /jobs/troubled lists those that do',
        );
      return reply.code(202).send({ redriven });
    },
  );
}

function readCursor(cursor: string | undefined) {
  if (cursor === undefined) return undefined;
  const [time, id = ''] = decodeCursor(cursor, [
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
    new RegExp(`^${UUID}$`),
  ]);
  const createdAt = parseTime('cursor', time);
  return createdAt && { createdAt, id };
}

function timeOf(at: Date | null): string | null {
  return at && formatOffsetTime(at, 'microseconds');
}

function troubledAnswer({ createdAt, nextAt, data, ...job }: TroubledJob) {
  return {
    ...job,
    data: data as Record<string, unknown>,
    created: formatOffsetTime(createdAt, 'microseconds'),
    next: timeOf(nextAt),
  };
}
