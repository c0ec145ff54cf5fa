import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import { findListedAggregate } from '../../aggregate/aggregate-list.ts';
import { listEntries, type AggregateEntry } from '../../aggregate/entries.ts';
import { findAggregateId, findHashedChunks, mapRuns } from '../../aggregate/inside.ts';
import type { DB } from '../../db/tables.ts';
import { listReplicas } from '../../deals/status/replicas.ts';
import { LadingError } from '../../errors.ts';
import { listedAnswer, listedSchema } from './aggregate-answer.ts';
import { listOf, listPage, listQuery } from '../answers/list-page.ts';
import { canonicalPiece } from '../answers/parse-cid.ts';
import { decodeCursor, exactly, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

interface InsideDeps {
  kysely: Kysely<DB>;
}

const segmentSchema = exactly({
  offset: Type.Number(),
  length: Type.Number(),
  runs: Type.Integer({ description: 'uploads that lie in it' }),
  root: Type.Union([Type.String(), Type.Null()], { description: 'of the upload, where it is one' }),
});

const insideSchema = exactly({
  ...listedSchema.properties,
  chunks: exactly({
    chunkBytes: Type.Number(),
    total: Type.Integer({ description: 'chunks that its bytes fill or begin' }),
    hashed: Type.Array(Type.Integer(), { description: 'those whose roots are kept, by their number from 0' }),
  }),
  segments: Type.Array(segmentSchema, { description: 'where its uploads lie, small neighbours told together' }),
});

const runSchema = exactly({
  place: Type.Integer({ description: 'from 1' }),
  root: Type.String(),
  selector: nullableText,
  offset: Type.Number(),
  length: Type.Number(),
  partial: Type.Boolean(),
});

const route = { access: ['ops', 'read'] } as const;
const params = exactly({ pieceCid: Type.String({ description: 'its piece CID, or its number' }) });
const failures = { '4xx': problem, '5xx': problem };

/** What a page about one aggregate shows, sealed or not. */
export function aggregateInsideRoutes(server: Server, { kysely }: InsideDeps): void {
  server.get(
    '/aggregates/:pieceCid/inside',
    {
      config: { ...route, errors: ['INVALID_CID', 'NOT_FOUND'] },
      schema: {
        tags: ['aggregates'],
        summary: 'An aggregate as the list has it, and what lies where in it',
        description: 'Open ones too. The aggregate is named by its piece CID or its number.',
        params,
        querystring: exactly({}),
        response: { 200: insideSchema, ...failures },
      },
    },
    async ({ params: { pieceCid: name } }) => {
      const id = await namedAggregate(kysely, name);
      const found = await findListedAggregate(kysely, id);
      if (found === undefined) throw noAggregate(name);
      const [chunks, segments, replicas] = await Promise.all([
        findHashedChunks(kysely, found),
        mapRuns(kysely, id, found.capacityBytes),
        listReplicas(kysely, [id]),
      ]);
      return { ...listedAnswer(found, replicas), chunks, segments };
    },
  );
  runsRoute(server, { kysely });
}

function runsRoute(server: Server, { kysely }: InsideDeps): void {
  server.get(
    '/aggregates/:pieceCid/runs',
    {
      config: { ...route, errors: ['INVALID_CID', 'INVALID_CURSOR', 'NOT_FOUND'] },
      schema: {
        tags: ['aggregates'],
        summary: 'The uploads in an aggregate, page by page',
        description: 'In the order of the bytes; of an open one too, whose selectors are not known yet.',
        params,
        querystring: exactly(listQuery),
        response: { 200: listOf(runSchema), ...failures },
      },
    },
    async ({ params: { pieceCid: name }, query }) => {
      const id = await namedAggregate(kysely, name);
      const { cursor } = query;
      const afterSeq = cursor === undefined ? undefined : Number(decodeCursor(cursor, [/^\d{1,9}$/]).join(''));
      return listPage(query, {
        read: (limit) => listEntries(kysely, id, { afterSeq, limit }),
        place: ({ seq }) => [seq.toString()],
        answer: runAnswer,
        count: async () => ({ value: (await findListedAggregate(kysely, id))?.entryCount ?? 0, exact: true }),
      });
    },
  );
}

function runAnswer({ seq, ...run }: AggregateEntry) {
  return { place: seq + 1, ...run };
}

/** Throws `INVALID_CID` or `NOT_FOUND`. */
export async function namedAggregate(kysely: Kysely<DB>, name: string): Promise<bigint> {
  const named = /^\d{1,18}$/.test(name) ? { id: BigInt(name) } : { pieceCid: canonicalPiece(name) };
  const id = await findAggregateId(kysely, named);
  if (id === undefined) throw noAggregate(name);
  return id;
}

function noAggregate(name: string): LadingError {
  return new LadingError('NOT_FOUND', `there is no aggregate ${name}`);
}
