import { sql, type Kysely } from 'kysely';
import type { DB, DealState } from '../../db/tables.ts';
import { tellEvents } from '../../db/tell-event.ts';
import type { ManyJobs } from '../../jobs/jobs.ts';
import { liveStates } from '../deal-states.ts';

/** A sealed aggregate, as far as proposing it goes. */
export interface SealedPiece {
  aggregateId: bigint;
  pieceCid: string;
  /** Padded. */
  pieceBytes: bigint;
  carBytes: bigint;
  batchRoot: string;
}

/** The piece of an aggregate, or undefined while it is not sealed. */
export async function findSealedPiece(db: Kysely<DB>, aggregateId: bigint): Promise<SealedPiece | undefined> {
  const row = await db
    .selectFrom('aggregates')
    .select(['id', 'piece_cid', 'piece_bytes', 'car_bytes', 'batch_root'])
    .where('id', '=', aggregateId)
    .where('state', '=', 'sealed')
    .executeTakeFirst();
  if (row === undefined || row.piece_cid === null || row.piece_bytes === null) return undefined;
  if (row.car_bytes === null || row.batch_root === null) return undefined;
  const { piece_cid: pieceCid, piece_bytes: pieceBytes, car_bytes: carBytes, batch_root: batchRoot } = row;
  return { aggregateId: row.id, pieceCid, pieceBytes, carBytes, batchRoot };
}

/** What stands against proposing a piece at all. */
export interface Proposable extends SealedPiece {
  /** Its bytes are not kept any more, and were not fetched back. */
  released: boolean;
  /** They were, and lie here as they were fetched back. */
  restored: boolean;
  /** Every upload in it was given up by all of its owners. */
  unowned: boolean;
}

/** True of an aggregate `a` in which nobody owns anything any more. */
export const isUnowned = sql<boolean>`(exists (select from placements p where p.aggregate_id = a.id) and not exists (
  select from placements p join upload_owners o on o.upload_id = p.upload_id
  where p.aggregate_id = a.id and o.ended_at is null))`;

/** True of an aggregate `a` whose bytes are here, or with a provider that proves them. */
const hasBytes = sql<boolean>`(a.released_at is null
  or exists (select from deals h where h.aggregate_id = a.id and h.state = 'active')
  or exists (select from restorations r where r.aggregate_id = a.id and r.object_key is not null))`;

/** Those of the aggregates that are sealed. */
export async function listProposable(db: Kysely<DB>, aggregateIds: readonly bigint[]): Promise<Proposable[]> {
  const rows = await db
    .selectFrom('aggregates as a')
    .leftJoin('restorations as r', 'r.aggregate_id', 'a.id')
    .select(['a.id', 'a.piece_cid', 'a.piece_bytes', 'a.car_bytes', 'a.batch_root', 'a.released_at', 'r.object_key'])
    .select(isUnowned.as('unowned'))
    .where('a.id', 'in', [...aggregateIds])
    .where('a.state', '=', 'sealed')
    .orderBy('a.id')
    .execute();
  return rows.map((row) => {
    const { piece_cid: pieceCid, piece_bytes: pieceBytes, car_bytes: carBytes, batch_root: batchRoot } = row;
    if (pieceCid === null || pieceBytes === null || carBytes === null || batchRoot === null)
      throw new Error(`aggregate ${row.id} is sealed without a piece`);
    const piece = { aggregateId: row.id, pieceCid, pieceBytes, carBytes, batchRoot };
    const wasReleased = row.released_at !== null;
    const isBack = row.object_key !== null;
    return { ...piece, released: wasReleased && !isBack, restored: wasReleased && isBack, unowned: row.unowned };
  });
}

/** A deal of an aggregate as proposing sees it, whatever became of it. */
export interface PastDeal {
  id: string;
  slot: number;
  generation: number;
  provider: string;
  state: DealState;
  policyVersion: number;
  endEpoch: number;
  reasonCode: string | undefined;
  settledAt: Date | undefined;
}

/** Every deal ever signed for the aggregates, by aggregate, oldest first. */
export async function listPastDeals(
  db: Kysely<DB>,
  aggregateIds: readonly bigint[],
): Promise<ReadonlyMap<bigint, PastDeal[]>> {
  const rows = await db
    .selectFrom('deals')
    .select(['id', 'aggregate_id', 'slot', 'generation', 'provider_id', 'state', 'policy_version'])
    .select(['end_epoch', 'reason_code', 'settled_at'])
    .where('aggregate_id', 'in', [...aggregateIds])
    .orderBy('created_at')
    .orderBy('slot')
    .execute();
  const toPast = (row: (typeof rows)[number]): PastDeal => ({
    id: row.id,
    slot: row.slot,
    generation: row.generation,
    provider: row.provider_id,
    state: row.state,
    policyVersion: row.policy_version,
    endEpoch: Number(row.end_epoch),
    reasonCode: row.reason_code ?? undefined,
    settledAt: row.settled_at ?? undefined,
  });
  const grouped = Map.groupBy(rows, (row) => row.aggregate_id);
  return new Map([...grouped].map(([id, deals]) => [id, deals.map(toPast)]));
}

/** A signed proposal, ready to be committed. `signedProposal` is the CBOR of its ClientDealProposal. */
export interface NewDeal {
  id: string;
  aggregateId: bigint;
  slot: number;
  generation: number;
  provider: string;
  policyVersion: number;
  client: string;
  signedProposal: Uint8Array;
  proposalCid: string;
  verified: boolean;
  offline: boolean;
  startEpoch: number;
  endEpoch: number;
  pricePerEpoch: bigint;
  providerCollateral: bigint;
}

/** Inserts deals in state signed, with their events and the jobs that send them, in the given transaction. */
export async function insertSigned(
  trx: Kysely<DB>,
  jobs: ManyJobs,
  deals: readonly NewDeal[],
  at: Date,
): Promise<void> {
  if (deals.length === 0) return;
  await trx
    .insertInto('deals')
    .values(deals.map((deal) => toRow(deal, at)))
    .execute();
  const events = deals.map(({ id, provider, slot, proposalCid }) => ({
    subject: { deal: id },
    told: { at, to: 'signed', evidence: { provider, slot, proposalCid } },
  }));
  await tellEvents(trx, events);
  await jobs.sendAll(
    trx,
    'send',
    deals.map(({ id }) => ({ dealId: id })),
  );
}

function toRow(deal: NewDeal, at: Date) {
  return {
    id: deal.id,
    aggregate_id: deal.aggregateId,
    slot: deal.slot,
    generation: deal.generation,
    provider_id: deal.provider,
    policy_version: deal.policyVersion,
    state: 'signed' as const,
    client: deal.client,
    signed_proposal: Buffer.from(deal.signedProposal),
    proposal_cid: deal.proposalCid,
    verified: deal.verified,
    offline: deal.offline,
    start_epoch: BigInt(deal.startEpoch),
    end_epoch: BigInt(deal.endEpoch),
    price_per_epoch: deal.pricePerEpoch.toString(),
    provider_collateral: deal.providerCollateral.toString(),
    created_at: at,
    changed_at: at,
  };
}

/** Until the transaction ends nobody else signs for this client: two signers would both spend the same balance. */
export async function lockClient(trx: Kysely<DB>, client: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lading client ${client}`}, 0))`.execute(trx);
}

/** False when the bytes that were fetched back are gone; from now on they stay for the time that a fresh one has. */
export async function holdRestored(trx: Kysely<DB>, aggregateId: bigint, at: Date): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('restorations')
    .set({ changed_at: at })
    .where('aggregate_id', '=', aggregateId)
    .where('object_key', 'is not', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** What a plan was made by. */
export interface PlannedBy {
  policyVersion: number;
  providers: string[];
  aggregateId: bigint;
  /** Ids of the live deals of the aggregate. */
  liveDeals: readonly string[];
}

/**
 * Is what was planned by still so: the policy in force, the live deals of the aggregate, and every one of these providers
 * enabled? Held until the transaction ends, so that whoever pauses a provider finds either no new deal or all of them.
 */
export async function holdPlan(trx: Kysely<DB>, plan: PlannedBy): Promise<boolean> {
  const live = await trx
    .selectFrom('deals')
    .select('id')
    .where('aggregate_id', '=', plan.aggregateId)
    .where('state', 'in', liveStates)
    .execute();
  const liveIds = live.map(({ id }) => id).sort();
  if (liveIds.join() !== [...plan.liveDeals].sort().join()) return false;
  const newest = await trx
    .selectFrom('policies')
    .select((eb) => eb.fn.max('version').as('version'))
    .executeTakeFirstOrThrow();
  if (newest.version !== plan.policyVersion) return false;
  const enabled = await trx
    .selectFrom('providers')
    .select('id')
    .where('id', 'in', plan.providers)
    .where('state', '=', 'enabled')
    .forShare()
    .execute();
  return enabled.length === new Set(plan.providers).size;
}

export interface Reserved {
  /** attoFIL promised to SPs and not yet locked on chain. */
  escrow: bigint;
  /** Bytes of verified pieces promised and not yet taken on chain. */
  datacapBytes: bigint;
}

/**
 * What this client's proposals may still take from the balance that the chain shows at `headEpoch`: those that could
 * still be published (those called off too, until their start is final), and those published too late for that balance to
 * show it.
 */
export async function sumReserved(db: Kysely<DB>, client: string, headEpoch: number): Promise<Reserved> {
  const row = await db
    .selectFrom('deals')
    .innerJoin('aggregates', 'aggregates.id', 'deals.aggregate_id')
    .select([
      sql<string>`coalesce(sum(price_per_epoch * (end_epoch - start_epoch)), 0)::text`.as('escrow'),
      sql<string>`coalesce(sum(piece_bytes) filter (where verified), 0)::text`.as('datacap'),
    ])
    .where('deals.client', '=', client)
    .where('deals.settled_at', 'is', null)
    .where((eb) => eb.or([eb('published_epoch', 'is', null), eb('published_epoch', '>=', BigInt(headEpoch))]))
    .executeTakeFirstOrThrow();
  return { escrow: BigInt(row.escrow), datacapBytes: BigInt(row.datacap) };
}

/**
 * Sealed aggregates with fewer live deals than the policy in force asks for, oldest first: for the same sweep. Left out:
 * those whose bytes are nowhere any more, those that nobody owns, and all while the policy proposes nothing.
 */
export async function listAggregatesShortOfDeals(db: Kysely<DB>, limit: number, afterId = 0n): Promise<bigint[]> {
  const { rows } = await sql<{ id: bigint }>`
    with policy as (select replicas, proposing from policies order by version desc limit 1)
    select a.id from aggregates a, policy
    where policy.proposing and a.state = 'sealed' and a.id > ${afterId} and ${hasBytes}
      and (select count(distinct d.slot) from deals d where d.aggregate_id = a.id
        and d.state::text in (${sql.join([...liveStates])}) and d.slot < policy.replicas) < policy.replicas
      and not ${isUnowned}
    order by a.id limit ${limit}`.execute(db);
  return rows.map(({ id }) => id);
}

/** A running deal, as far as its renewal goes. */
export interface EndingDeal {
  dealId: string;
  aggregateId: bigint;
  slot: number;
  endEpoch: number;
}

/**
 * Active deals that end by `endsBy` and are the last of their slot, in aggregates that somebody owns; by end, those after
 * the given one. Bytes that were released are with the provider of the deal itself.
 */
export async function listEnding(
  db: Kysely<DB>,
  { endsBy, after, limit }: { endsBy: number; after?: EndingDeal | undefined; limit: number },
): Promise<EndingDeal[]> {
  const { endEpoch, dealId } = after ?? { endEpoch: -1, dealId: '00000000-0000-0000-0000-000000000000' };
  const { rows } = await sql<{ id: string; aggregate_id: bigint; slot: number; end_epoch: bigint }>`
    select d.id, d.aggregate_id, d.slot, d.end_epoch from deals d join aggregates a on a.id = d.aggregate_id
    where d.state = 'active' and d.end_epoch <= ${endsBy} and (d.end_epoch, d.id) > (${endEpoch}, ${dealId}::uuid)
      and not ${isUnowned}
      and not exists (select from deals n where n.aggregate_id = d.aggregate_id and n.slot = d.slot
        and n.state::text in (${sql.join([...liveStates])}) and n.end_epoch > d.end_epoch)
    order by d.end_epoch, d.id limit ${limit}`.execute(db);
  return rows.map((row) => ({
    dealId: row.id,
    aggregateId: row.aggregate_id,
    slot: row.slot,
    endEpoch: Number(row.end_epoch),
  }));
}
