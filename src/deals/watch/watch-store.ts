import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { offChainStates, type DealState } from '../deal-states.ts';
import type { WatchedDeal } from './deal-step.ts';
import type { DuePosition } from './watch-view.ts';

/** A deal with what it takes to recognise it on chain. */
export interface DealRecord extends WatchedDeal {
  id: string;
  aggregateId: bigint;
  /** As it was signed: `f1…` or `f3…`. */
  client: string;
  /** CBOR of the ClientDealProposal. */
  signedProposal: Uint8Array;
}

export function dealQuery(db: Kysely<DB>) {
  return db
    .selectFrom('deals as d')
    .select(['d.id', 'd.aggregate_id', 'd.client', 'd.signed_proposal', 'd.state', 'd.start_epoch', 'd.end_epoch'])
    .select(['d.settled_at', 'd.chain_deal_id', 'd.publish_message', 'd.published_epoch'])
    .select(['d.sector_number', 'd.sector_start_epoch']);
}

type Row = Awaited<ReturnType<ReturnType<typeof dealQuery>['execute']>>[number];

function toNumber(value: bigint | null): number | null {
  return value === null ? null : Number(value);
}

export function toRecord(row: Row): DealRecord {
  return {
    id: row.id,
    aggregateId: row.aggregate_id,
    client: row.client,
    signedProposal: row.signed_proposal,
    state: row.state,
    startEpoch: Number(row.start_epoch),
    endEpoch: Number(row.end_epoch),
    settled: row.settled_at !== null,
    chainDealId: row.chain_deal_id,
    publishMessage: row.publish_message,
    publishedEpoch: toNumber(row.published_epoch),
    sectorNumber: row.sector_number,
    sectorStartEpoch: toNumber(row.sector_start_epoch),
  };
}

/** The deals by id, held against changes until the transaction ends. Taken in order, so that two never wait for each other. */
export async function claimDeals(trx: Kysely<DB>, ids: readonly string[]): Promise<Map<string, DealRecord>> {
  if (ids.length === 0) return new Map();
  const rows = await dealQuery(trx)
    .where('d.id', '=', sql<string>`any(${[...new Set(ids)]}::uuid[])`)
    .orderBy('d.id')
    .forUpdate()
    .execute();
  return new Map(rows.map((row) => [row.id, toRecord(row)]));
}

export async function findRecord(db: Kysely<DB>, id: string): Promise<DealRecord | undefined> {
  const row = await dealQuery(db).where('d.id', '=', id).executeTakeFirst();
  return row && toRecord(row);
}

/** The addresses that our proposals were ever signed with: one step through the index for each, however many deals there are. */
export async function listClients(db: Kysely<DB>): Promise<string[]> {
  const { rows } = await sql<{ client: string }>`
    with recursive found as (
      select min(client) as client from deals
      union all
      select (select min(client) from deals where client > found.client) from found where found.client is not null
    ) select client from found where client is not null`.execute(db);
  return rows.map(({ client }) => client);
}

/** The first start epoch of any deal; undefined while there is none. */
export async function findFirstStart(db: Kysely<DB>): Promise<number | undefined> {
  const row = await db
    .selectFrom('deals')
    .select((eb) => eb.fn.min('start_epoch').as('first'))
    .executeTakeFirst();
  return row === undefined || row.first === null ? undefined : Number(row.first);
}

export async function listByChainIds(db: Kysely<DB>, ids: readonly bigint[]): Promise<DealRecord[]> {
  if (ids.length === 0) return [];
  const rows = await dealQuery(db)
    .where('d.chain_deal_id', '=', sql<bigint>`any(${[...ids]}::bigint[])`)
    .execute();
  return rows.map(toRecord);
}

/** A piece at a provider. */
export interface PieceAt {
  provider: string;
  pieceCid: string;
}

export function pieceAtKey({ provider, pieceCid }: PieceAt): string {
  return `${provider} ${pieceCid}`;
}

/** Every proposal for these pieces at these providers, in any state: the chain wins over what an SP answered. */
export async function listCandidates(db: Kysely<DB>, sought: readonly PieceAt[]): Promise<Map<string, DealRecord[]>> {
  if (sought.length === 0) return new Map();
  const wanted = new Set(sought.map(pieceAtKey));
  const rows = await dealQuery(db)
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select(['a.piece_cid', 'd.provider_id'])
    .where('a.piece_cid', '=', sql<string>`any(${[...new Set(sought.map(({ pieceCid }) => pieceCid))]}::text[])`)
    .execute();
  const keyed = rows.map((row) => ({ key: `${row.provider_id} ${row.piece_cid}`, record: toRecord(row) }));
  const byPiece = Map.groupBy(
    keyed.filter(({ key }) => wanted.has(key)),
    ({ key }) => key,
  );
  return new Map([...byPiece].map(([key, found]) => [key, found.map(({ record }) => record)]));
}

/** A page of deals in this state, by chain deal id, which rises with age. */
export async function listInState(
  db: Kysely<DB>,
  state: 'published' | 'active',
  page: { after: bigint; limit: number },
): Promise<DealRecord[]> {
  const rows = await dealQuery(db)
    .where('d.state', '=', state)
    .where('d.chain_deal_id', '>', page.after)
    .orderBy('d.chain_deal_id')
    .limit(page.limit)
    .execute();
  return rows.map(toRecord);
}

/** A page of all deals that the chain should hold, by chain deal id. */
export async function listLiveOnChain(db: Kysely<DB>, after: bigint, limit: number): Promise<DealRecord[]> {
  const published = await listInState(db, 'published', { after, limit });
  const active = await listInState(db, 'active', { after, limit });
  const order = ({ chainDealId }: DealRecord) => Number(chainDealId);
  return [...published, ...active].toSorted((a, b) => order(a) - order(b)).slice(0, limit);
}

/** Published deals with a start epoch in this range, both included, or active ones with such an end; earliest first. */
export async function listDue(
  db: Kysely<DB>,
  what: 'starting' | 'ending',
  { from, to, after, limit }: { from: number; to: number; after: DuePosition | undefined; limit: number },
): Promise<DealRecord[]> {
  const [state, column] =
    what === 'starting' ? (['published', 'd.start_epoch'] as const) : (['active', 'd.end_epoch'] as const);
  const rows = await dealQuery(db)
    .where('d.state', '=', state)
    .where(column, '>=', BigInt(after?.epoch ?? from))
    .where(column, '<=', BigInt(to))
    .$if(after !== undefined, (query) =>
      query.where(
        sql<boolean>`(${sql.ref(column)}, d.id) > (${BigInt(after?.epoch ?? 0)}::bigint, ${after?.id ?? ''}::uuid)`,
      ),
    )
    .orderBy(column)
    .orderBy('d.id')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

/** Proposals that the chain never showed, and whose start epoch lies below this one. */
export async function listOverdue(db: Kysely<DB>, epoch: number, limit: number): Promise<DealRecord[]> {
  const states: DealState[] = [...offChainStates, 'failed', 'abandoned'];
  const rows = await dealQuery(db)
    .where('d.settled_at', 'is', null)
    .where('d.state', 'in', states)
    .where('d.start_epoch', '<', BigInt(epoch))
    .orderBy('d.start_epoch')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

/** Where a page of what was seen ended. */
export interface SeenPosition {
  epoch: bigint;
  dealId: string;
}

/**
 * A page of deals that changed by what the chain showed at these epochs, both included; undefined `next`: the last. One
 * that changed at several epochs may come more than once.
 */
export async function listSeenBetween(
  db: Kysely<DB>,
  epochs: { from: number; to: number },
  page: { after: SeenPosition | undefined; limit: number },
): Promise<{ deals: DealRecord[]; next: SeenPosition | undefined }> {
  const { after, limit } = page;
  const seen = await db
    .selectFrom('events')
    .select(['epoch', 'deal_id'])
    .where('deal_id', 'is not', null)
    .where('epoch', '>=', after?.epoch ?? BigInt(epochs.from))
    .where('epoch', '<=', BigInt(epochs.to))
    .$if(after !== undefined, (query) =>
      query.where(sql<boolean>`(epoch, deal_id) > (${after?.epoch ?? 0n}::bigint, ${after?.dealId ?? ''}::uuid)`),
    )
    .orderBy('epoch')
    .orderBy('deal_id')
    .limit(limit)
    .execute();
  const last = seen.length < limit ? undefined : seen.at(-1);
  const ids = [...new Set(seen.flatMap(({ deal_id: id }) => id ?? []))];
  const next =
    last && last.epoch !== null && last.deal_id !== null ? { epoch: last.epoch, dealId: last.deal_id } : undefined;
  if (ids.length === 0) return { deals: [], next };
  const rows = await dealQuery(db)
    .where('d.id', '=', sql<string>`any(${ids}::uuid[])`)
    .where('d.chain_deal_id', 'is not', null)
    .execute();
  return { deals: rows.map(toRecord), next };
}
