import { randomUUID } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import type { DB, DealState } from '../../src/db/tables.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

/** Rows as later stages would leave them, so that the API can be tested without these stages. */
const AT = new Date('2024-05-01T00:00:00.000Z');

export const PIECE_CID = 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma';
export const BATCH_ROOT = 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y';
const HEADER_BYTES = 59;

interface AggregateSeed {
  roots: string[];
  state?: 'open' | 'sealing' | 'sealed';
  /** Bytes of the batch tree, stored under its key. */
  tree?: Buffer;
  pieceCid?: string;
}

async function aggregateEvent(trx: Transaction<DB>, id: bigint, state: string): Promise<void> {
  await trx.insertInto('events').values({ at: AT, aggregate_id: id, from_state: null, to_state: state }).execute();
}

/** An aggregate that holds the waiting uploads with these roots, in this order. */
export async function seedAggregate(kysely: Kysely<DB>, store: ObjectStore, seed: AggregateSeed) {
  const { roots, state = 'sealed', tree = Buffer.from('a tree'), pieceCid = PIECE_CID } = seed;
  const uploads = await kysely
    .selectFrom('uploads')
    .select(['id', 'root', 'run_bytes', 'state'])
    .where('root', 'in', roots)
    .execute();
  const ordered = roots.map((root) => uploads.find((upload) => upload.root === root) ?? fail(`no upload ${root}`));
  const lengthBytes = ordered.reduce((sum, { run_bytes: bytes }) => sum + (bytes ?? 0n), BigInt(HEADER_BYTES));
  const carBytes = lengthBytes + BigInt(tree.length);
  const whole = {
    tree_key: `trees/${randomUUID()}`,
    tree_bytes: BigInt(tree.length),
    batch_root: BATCH_ROOT,
    car_bytes: carBytes,
    piece_cid: pieceCid,
    piece_bytes: paddedBytes(carBytes),
    sealed_at: AT,
  };
  if (state === 'sealed') {
    const staged = await store.stage(whole.tree_key);
    await staged.write(tree);
    await staged.commit();
  }
  return kysely.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('aggregates')
      .values({
        state,
        capacity_bytes: 33_000_000n,
        length_bytes: lengthBytes,
        entry_count: roots.length,
        oldest_accepted_at: AT,
        seal_reason: state === 'open' ? null : 'operator',
        opened_at: AT,
        changed_at: AT,
        ...(state === 'sealed' ? whole : {}),
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await aggregateEvent(trx, id, state);
    let offset = BigInt(HEADER_BYTES);
    for (const [seq, upload] of ordered.entries()) {
      const length = upload.run_bytes ?? 0n;
      // Placed before: once more, as topping up does.
      const again = { topped_up: upload.state === 'stowed' };
      const place = {
        aggregate_id: id,
        seq,
        upload_id: upload.id,
        offset_bytes: offset,
        length_bytes: length,
        ...again,
      };
      const selector = state === 'sealed' ? `Links/${seq + 1}/Hash/Links/0/Hash/Links/0/Hash` : null;
      await trx
        .insertInto('placements')
        .values({ ...place, selector })
        .execute();
      offset += length;
    }
    await trx.updateTable('uploads').set({ state: 'stowed', changed_at: AT }).where('root', 'in', roots).execute();
    return { id, carBytes: Number(carBytes), lengthBytes: Number(lengthBytes), pieceCid };
  });
}

function paddedBytes(carBytes: bigint): bigint {
  let padded = 128n;
  while ((padded / 128n) * 127n < carBytes) padded *= 2n;
  return padded;
}

function fail(message: string): never {
  throw new Error(message);
}

interface DealSeed {
  aggregateId: bigint;
  slot: number;
  provider: string;
  state: DealState;
  changedAt?: Date;
  reasonText?: string;
  chainDealId?: bigint;
}

const ON_CHAIN: readonly DealState[] = ['published', 'active', 'missed', 'expired', 'slashed'];
const IN_SECTOR: readonly DealState[] = ['active', 'expired', 'slashed'];
const LIVE: readonly DealState[] = ['signed', 'sent', 'accepted', 'published', 'active'];

export async function seedDeal(kysely: Kysely<DB>, seed: DealSeed): Promise<string> {
  const { state, changedAt = AT } = seed;
  const id = randomUUID();
  await kysely
    .insertInto('providers')
    .values({ id: seed.provider, state: 'enabled', address_source: 'chain', added_at: AT })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await kysely.transaction().execute(async (trx) => {
    await trx
      .insertInto('deals')
      .values({
        id,
        aggregate_id: seed.aggregateId,
        slot: seed.slot,
        generation: 0,
        provider_id: seed.provider,
        policy_version: 1,
        state,
        client: 'f1client',
        signed_proposal: Buffer.from(id),
        proposal_cid: `bafyproposal${id}`,
        verified: false,
        start_epoch: 1_631_918n,
        end_epoch: 3_100_718n,
        price_per_epoch: '0',
        provider_collateral: '0',
        attempts: state === 'signed' ? 0 : 1,
        chain_deal_id: ON_CHAIN.includes(state) ? (seed.chainDealId ?? BigInt(4_486_352 + seed.slot)) : null,
        sector_start_epoch: IN_SECTOR.includes(state) ? 1_628_556n : null,
        reason_code: LIVE.includes(state) ? null : 'some_reason',
        reason_text: seed.reasonText ?? null,
        settled_at: LIVE.includes(state) ? null : changedAt,
        created_at: changedAt,
        changed_at: changedAt,
      })
      .execute();
    await trx.insertInto('events').values({ at: changedAt, deal_id: id, from_state: null, to_state: state }).execute();
  });
  return id;
}
