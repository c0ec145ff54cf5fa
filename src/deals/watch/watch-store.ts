import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { offChainStates, type DealState } from '../deal-states.ts';
import type { WatchedDeal } from './deal-step.ts';

/** A deal with what it takes to recognise it on chain. */
export interface DealRecord extends WatchedDeal {
  id: string;
  aggregateId: bigint;
  /** As it was signed: `f1…` or `f3…`. */
  client: string;
  /** CBOR of the ClientDealProposal. */
  signedProposal: Uint8Array;
}

function dealQuery(db: Kysely<DB>) {
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

function toRecord(row: Row): DealRecord {
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

/** The deal, held against changes until the transaction ends. */
export async function claimDeal(trx: Kysely<DB>, id: string): Promise<DealRecord> {
  return toRecord(await dealQuery(trx).where('d.id', '=', id).forUpdate().executeTakeFirstOrThrow());
}

/** The addresses that our proposals were ever signed with. */
export async function listClients(db: Kysely<DB>): Promise<string[]> {
  const rows = await db.selectFrom('deals').select('client').distinct().execute();
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
    .where('d.chain_deal_id', 'in', [...ids])
    .execute();
  return rows.map(toRecord);
}

/** Every proposal for this piece at this provider, in any state: the chain wins over what an SP answered. */
export async function listCandidates(
  db: Kysely<DB>,
  sought: { provider: string; pieceCid: string },
): Promise<DealRecord[]> {
  const rows = await dealQuery(db)
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .where('a.piece_cid', '=', sought.pieceCid)
    .where('d.provider_id', '=', sought.provider)
    .execute();
  return rows.map(toRecord);
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

/** Active deals whose term is over at this epoch. */
export async function listTermOver(db: Kysely<DB>, epoch: number, limit: number): Promise<DealRecord[]> {
  const rows = await dealQuery(db)
    .where('d.state', '=', 'active')
    .where('d.end_epoch', '<=', BigInt(epoch))
    .orderBy('d.end_epoch')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

/** Proposals that the chain never showed, and whose start epoch lies below this one. */
export async function listOverdue(db: Kysely<DB>, epoch: number, limit: number): Promise<DealRecord[]> {
  const states: DealState[] = [...offChainStates, 'failed'];
  const rows = await dealQuery(db)
    .where('d.settled_at', 'is', null)
    .where('d.state', 'in', states)
    .where('d.start_epoch', '<', BigInt(epoch))
    .orderBy('d.start_epoch')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}

/** A page of deals that changed by what the chain showed at these epochs, both included. */
export async function listSeenBetween(
  db: Kysely<DB>,
  epochs: { from: number; to: number },
  page: { after: string | undefined; limit: number },
): Promise<DealRecord[]> {
  const rows = await dealQuery(db)
    .where('d.chain_deal_id', 'is not', null)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('events as e')
          .select('e.position')
          .whereRef('e.deal_id', '=', 'd.id')
          .where('e.epoch', '>=', BigInt(epochs.from))
          .where('e.epoch', '<=', BigInt(epochs.to)),
      ),
    )
    .$if(page.after !== undefined, (query) => query.where('d.id', '>', page.after ?? ''))
    .orderBy('d.id')
    .limit(page.limit)
    .execute();
  return rows.map(toRecord);
}
