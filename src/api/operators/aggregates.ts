import { Readable } from 'node:stream';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import {
  countAggregates,
  findListedAggregate,
  listAggregates,
  type ListedAggregate,
} from '../../aggregate/aggregate-list.ts';
import { findSealedByPiece, type SealedAggregate } from '../../aggregate/aggregate-rows.ts';
import { listEntries, type AggregateEntry } from '../../aggregate/entries.ts';
import type { SealNowOutcome } from '../../aggregate/place/stow.ts';
import type { DB } from '../../db/tables.ts';
import { listPublicDeals } from '../../deals/status/deal-list.ts';
import type { Act } from '../../deals/audit.ts';
import { dealObject, type DealNetwork } from '../../deals/status/deal-object.ts';
import { listReplicas } from '../../deals/status/replicas.ts';
import { LadingError, unreachable } from '../../errors.ts';
import { actOf } from '../door/auth.ts';
import { listedAnswer, listedSchema } from './aggregate-answer.ts';
import { listOf, listPage, listQuery } from '../answers/list-page.ts';
import { canonicalPiece } from '../answers/parse-cid.ts';
import { decodeCursor, exactly, problem, streamed } from '../answers/schemas.ts';
import { dealSchema, knownNetwork } from '../uploads/status-answer.ts';
import type { Server } from '../answers/typed-server.ts';
import { reasonBody } from './providers.ts';

export interface AggregateDeps {
  kysely: Kysely<DB>;
  dealNetwork(): DealNetwork | undefined;
  /** aggregate/place/stow.ts `sealNow`, with its dependencies given. */
  sealAggregate(aggregateId: bigint, act: Act): Promise<SealNowOutcome>;
}

/** Entries of one query and one write to the socket: about 200 KB. An aggregate may hold 100,000. */
const ENTRIES_PER_PAGE = 1_000;

const pieceSchema = {
  pieceCid: Type.String(),
  pieceSize: Type.Number(),
  carSize: Type.Number(),
  batchRootCid: Type.String(),
  state: Type.String(),
  entryCount: Type.Integer(),
  deals: Type.Array(dealSchema),
};

const readers = { access: ['ops', 'read'] } as const;
const pieceParams = exactly({ pieceCid: Type.String() });
const failures = { '4xx': problem, '5xx': problem };

export function aggregateRoutes(server: Server, deps: AggregateDeps): void {
  listRoute(server, deps);
  entriesRoute(server, deps);
  sealRoute(server, deps);
  server.get(
    '/aggregates/:pieceCid',
    {
      config: { ...readers, errors: ['INVALID_CID', 'NOT_FOUND', 'NETWORK_UNKNOWN'] },
      schema: {
        tags: ['aggregates'],
        summary: 'A sealed aggregate with its deals',
        description:
          'Sizes are bytes, `pieceSize` the padded one. Deals are those that GET /check shows, oldest change first.',
        params: pieceParams,
        querystring: exactly({}),
        response: { 200: exactly(pieceSchema), ...failures },
      },
    },
    async ({ params }) => pieceAnswer(deps, await sealed(deps, params.pieceCid)),
  );
}

function listRoute(server: Server, deps: AggregateDeps): void {
  const state = Type.Union([Type.Literal('open'), Type.Literal('sealing'), Type.Literal('sealed')]);
  const released = Type.Boolean({ description: 'whether its bytes are not kept here any more' });
  server.get(
    '/aggregates',
    {
      config: { ...readers, errors: ['INVALID_CURSOR'] },
      schema: {
        tags: ['aggregates'],
        summary: 'All aggregates, newest first',
        description: 'Sizes are bytes; what is null is known once an aggregate is sealed.',
        querystring: exactly({ ...listQuery, state: Type.Optional(state), released: Type.Optional(released) }),
        response: { 200: listOf(listedSchema), ...failures },
      },
    },
    async ({ query }) => {
      const { state: inState, released: isReleased, cursor } = query;
      const filter = { state: inState, released: isReleased };
      const afterId = cursor === undefined ? undefined : BigInt(decodeCursor(cursor, [/^\d{1,18}$/]).join(''));
      return listPage(query, {
        read: async (limit) => withReplicas(deps, await listAggregates(deps.kysely, filter, { afterId, limit })),
        place: ({ row }) => [row.id.toString()],
        answer: ({ row, replicas }) => listedAnswer(row, replicas),
        count: () => countAggregates(deps.kysely, filter),
      });
    },
  );
}

async function withReplicas({ kysely }: AggregateDeps, rows: readonly ListedAggregate[]) {
  const sealedIds = rows.flatMap(({ id, state }) => (state === 'sealed' ? [id] : []));
  const replicas = await listReplicas(kysely, sealedIds);
  return rows.map((row) => ({ row, replicas }));
}

function entriesRoute(server: Server, deps: AggregateDeps): void {
  server.get(
    '/aggregates/:pieceCid/entries',
    {
      config: { ...readers, errors: ['INVALID_CID', 'NOT_FOUND'] },
      schema: {
        tags: ['aggregates'],
        summary: 'The uploads in a sealed aggregate',
        description:
          'One line of JSON an upload, in the order of the bytes: `{root, selector, offset, length, partial?}`.',
        params: pieceParams,
        querystring: exactly({}),
        produces: ['application/x-ndjson'],
        response: { 200: streamed, ...failures },
      },
    },
    async ({ params }, reply) => {
      const { id } = await sealed(deps, params.pieceCid);
      reply.type('application/x-ndjson');
      return reply.send(Readable.from(entryLines(deps.kysely, id), { objectMode: false }));
    },
  );
}

function sealRoute(server: Server, deps: AggregateDeps): void {
  server.post(
    '/aggregates/:id/seal',
    {
      config: { access: ['ops'], errors: ['NOT_FOUND', 'AGGREGATE_NOT_OPEN'] },
      schema: {
        tags: ['aggregates'],
        summary: 'Seals an open aggregate now',
        description:
          'Whatever its fill and age, as long as it holds an upload. Audited, with the reason that is given.',
        params: exactly({ id: Type.String({ pattern: '^[0-9]{1,18}$' }) }),
        body: Type.Union([exactly({ reason: reasonBody }), Type.Null()]),
        querystring: exactly({}),
        response: { 200: listedSchema, ...failures },
      },
    },
    async (request) => {
      const id = BigInt(request.params.id);
      checkSealing(id, await deps.sealAggregate(id, actOf(request, request.body?.reason)));
      return listedAnswer(await listed(deps, id), new Map());
    },
  );
}

function checkSealing(id: bigint, outcome: SealNowOutcome): void {
  switch (outcome.kind) {
    case 'sealing':
      return;
    case 'unknown':
      throw noAggregate(id);
    case 'empty':
      throw new LadingError('AGGREGATE_NOT_OPEN', `aggregate ${id} holds no upload yet`);
    case 'not-open':
      throw new LadingError('AGGREGATE_NOT_OPEN', `aggregate ${id} is ${outcome.state} already`);
    default:
      unreachable(outcome);
  }
}

function noAggregate(id: bigint): LadingError {
  return new LadingError('NOT_FOUND', `there is no aggregate ${id}`);
}

async function listed({ kysely }: AggregateDeps, id: bigint): Promise<ListedAggregate> {
  const found = await findListedAggregate(kysely, id);
  if (found === undefined) throw noAggregate(id);
  return found;
}

/** One line an upload, in the order of the bytes, page by page: no transaction stays open while the caller reads. */
async function* entryLines(kysely: Kysely<DB>, aggregateId: bigint): AsyncGenerator<Buffer> {
  for (let afterSeq: number | undefined = undefined, more = true; more; ) {
    const entries: AggregateEntry[] = await listEntries(kysely, aggregateId, { afterSeq, limit: ENTRIES_PER_PAGE });
    if (entries.length > 0) yield Buffer.from(entries.map(entryLine).join(''));
    afterSeq = entries.at(-1)?.seq;
    more = entries.length === ENTRIES_PER_PAGE;
  }
}

function entryLine({ root, selector, offset, length, partial }: AggregateEntry): string {
  return `${JSON.stringify({ root, selector, offset, length, ...(partial ? { partial } : {}) })}\n`;
}

async function sealed({ kysely }: AggregateDeps, text: string): Promise<SealedAggregate> {
  const pieceCid = canonicalPiece(text);
  const found = await findSealedByPiece(kysely, pieceCid);
  if (found === undefined) throw new LadingError('NOT_FOUND', `there is no aggregate with the piece ${pieceCid}`);
  return found;
}

async function pieceAnswer(deps: AggregateDeps, found: SealedAggregate) {
  const { pieceCid, pieceBytes, carBytes, batchRoot, entryCount } = found;
  const deals = await listPublicDeals(deps.kysely, pieceCid);
  return {
    pieceCid,
    pieceSize: Number(pieceBytes),
    carSize: carBytes,
    batchRootCid: batchRoot,
    state: 'sealed',
    entryCount,
    deals: deals.map((deal) => dealObject(deal, knownNetwork(deps))),
  };
}
