import { sql, type Kysely } from 'kysely';
import type { DB, DealState } from '../../db/tables.ts';
import type { Jobs } from '../../jobs.ts';
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

/** A deal of an aggregate as proposing sees it, whatever became of it. */
export interface PastDeal {
  id: string;
  slot: number;
  generation: number;
  provider: string;
  state: DealState;
  policyVersion: number;
  reasonCode: string | undefined;
  settledAt: Date | undefined;
}

/** Every deal ever signed for an aggregate, oldest first. */
export async function listDealsOfAggregate(db: Kysely<DB>, aggregateId: bigint): Promise<PastDeal[]> {
  const rows = await db
    .selectFrom('deals')
    .select(['id', 'slot', 'generation', 'provider_id', 'state', 'policy_version', 'reason_code', 'settled_at'])
    .where('aggregate_id', '=', aggregateId)
    .orderBy('created_at')
    .orderBy('slot')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    slot: row.slot,
    generation: row.generation,
    provider: row.provider_id,
    state: row.state,
    policyVersion: row.policy_version,
    reasonCode: row.reason_code ?? undefined,
    settledAt: row.settled_at ?? undefined,
  }));
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
  startEpoch: number;
  endEpoch: number;
  pricePerEpoch: bigint;
  providerCollateral: bigint;
}

/** Inserts one deal in state signed, with its event and the job that sends it, in the given transaction. */
export async function insertSigned(trx: Kysely<DB>, jobs: Jobs, deal: NewDeal, at: Date): Promise<void> {
  await trx
    .insertInto('deals')
    .values({
      id: deal.id,
      aggregate_id: deal.aggregateId,
      slot: deal.slot,
      generation: deal.generation,
      provider_id: deal.provider,
      policy_version: deal.policyVersion,
      state: 'signed',
      client: deal.client,
      signed_proposal: Buffer.from(deal.signedProposal),
      proposal_cid: deal.proposalCid,
      verified: deal.verified,
      start_epoch: BigInt(deal.startEpoch),
      end_epoch: BigInt(deal.endEpoch),
      price_per_epoch: deal.pricePerEpoch.toString(),
      provider_collateral: deal.providerCollateral.toString(),
      created_at: at,
      changed_at: at,
    })
    .execute();
  const evidence = { provider: deal.provider, slot: deal.slot, proposalCid: deal.proposalCid };
  await trx.insertInto('events').values({ at, deal_id: deal.id, to_state: 'signed', evidence }).execute();
  await jobs.send(trx, 'send', { dealId: deal.id });
}

/** Until the transaction ends nobody else signs for this client: two signers would both spend the same balance. */
export async function lockClient(trx: Kysely<DB>, client: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lading client ${client}`}, 0))`.execute(trx);
}

/**
 * Is what was planned by still so: the policy in force, and every one of these providers enabled? Held until the
 * transaction ends, so that whoever pauses a provider finds either no new deal or all of them.
 */
export async function holdPlan(
  trx: Kysely<DB>,
  plan: { policyVersion: number; providers: string[] },
): Promise<boolean> {
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
 * still be published, and those published too late for that balance to show it.
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

/** Sealed aggregates with fewer live deals than the policy in force asks for, oldest first: for the same sweep. */
export async function listAggregatesShortOfDeals(db: Kysely<DB>, limit: number): Promise<bigint[]> {
  const live = sql<bigint>`(select count(distinct slot) from deals where deals.aggregate_id = aggregates.id
    and deals.state::text in (${sql.join([...liveStates])})
    and deals.slot < (select replicas from policies order by version desc limit 1))`;
  const rows = await db
    .selectFrom('aggregates')
    .select('id')
    .where('state', '=', 'sealed')
    .where(live, '<', sql<bigint>`(select replicas from policies order by version desc limit 1)`)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
