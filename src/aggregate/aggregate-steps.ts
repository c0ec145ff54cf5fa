import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import type { BatchPath } from './seal/batch-tree.ts';
import {
  emptyAggregate,
  withUpload,
  type OpenAggregate,
  type SealReason,
  type SealRules,
  type WaitingUpload,
} from './place/placement-rules.ts';

type Db = Kysely<DB>;

/** Two processes that open aggregates take turns, so that no more than the configured number is open. */
const OPENING_LOCK = 7_210_331_001n;

/** Another process changed the row first: nothing of the transaction may stay. */
export class LostRace extends Error {
  override readonly name = 'LostRace';
}

function mustChange(changedRows: bigint, what: string): void {
  if (changedRows !== 1n) throw new LostRace(`${what} was changed by another process`);
}

interface Change {
  from: string | null;
  to: string;
  at: Date;
  reason?: string | undefined;
  evidence?: Record<string, string | number> | undefined;
}

async function insertEvent(
  trx: Db,
  subject: { upload_id: bigint } | { aggregate_id: bigint },
  { from, to, at, reason, evidence }: Change,
): Promise<void> {
  const row = { ...subject, from_state: from, to_state: to, at, reason_code: reason ?? null };
  await trx
    .insertInto('events')
    .values({ ...row, evidence: evidence ?? null })
    .execute();
}

/**
 * Puts an upload's run at the end of an open aggregate: length, counts, placement, upload and event, all or nothing.
 * Throws `LostRace` if the aggregate is not as given any more or the upload does not wait any more.
 */
export async function advanceByUpload(
  trx: Db,
  aggregate: OpenAggregate,
  upload: WaitingUpload,
  at: Date,
): Promise<OpenAggregate> {
  const filled = withUpload(aggregate, upload);
  const changed = await trx
    .updateTable('aggregates')
    .set({
      length_bytes: filled.lengthBytes,
      entry_count: filled.entryCount,
      oldest_accepted_at: filled.oldestAcceptedAt ?? null,
      changed_at: at,
    })
    .where('id', '=', aggregate.id)
    .where('state', '=', 'open')
    .where('length_bytes', '=', aggregate.lengthBytes)
    .where('entry_count', '=', aggregate.entryCount)
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${aggregate.id}`);
  await stowUpload(trx, upload, aggregate, at);
  return filled;
}

async function stowUpload(trx: Db, upload: WaitingUpload, aggregate: OpenAggregate, at: Date): Promise<void> {
  const changed = await trx
    .updateTable('uploads')
    .set({ state: 'stowed', changed_at: at })
    .where('id', '=', upload.id)
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `upload ${upload.id}`);
  await trx
    .insertInto('placements')
    .values({
      aggregate_id: aggregate.id,
      seq: aggregate.entryCount,
      upload_id: upload.id,
      offset_bytes: aggregate.lengthBytes,
      length_bytes: upload.runBytes,
    })
    .execute();
  const evidence = { aggregateId: aggregate.id.toString(), offsetBytes: aggregate.lengthBytes.toString() };
  await insertEvent(trx, { upload_id: upload.id }, { from: 'waiting', to: 'stowed', at, evidence });
}

/** Opens an empty aggregate. Throws `LostRace` if others have opened as many as the rules allow meanwhile. */
export async function insertAggregate(trx: Db, rules: SealRules, at: Date): Promise<OpenAggregate> {
  await sql`select pg_advisory_xact_lock(${OPENING_LOCK})`.execute(trx);
  const count = trx
    .selectFrom('aggregates')
    .select((eb) => eb.fn.countAll<bigint>().as('open'))
    .where('state', '=', 'open');
  const { open } = await count.executeTakeFirstOrThrow();
  if (open >= BigInt(rules.openAggregates)) throw new LostRace('another process opened an aggregate');
  const { capacityBytes, lengthBytes, entryCount } = emptyAggregate(0n, rules);
  const { id } = await trx
    .insertInto('aggregates')
    .values({
      state: 'open',
      capacity_bytes: capacityBytes,
      length_bytes: lengthBytes,
      entry_count: entryCount,
      opened_at: at,
      changed_at: at,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  await insertEvent(trx, { aggregate_id: id }, { from: null, to: 'open', at });
  return { id, capacityBytes, lengthBytes, entryCount, oldestAcceptedAt: undefined };
}

/** open → sealing. Throws `LostRace` if it is not open any more. */
export async function advanceToSealing(trx: Db, id: bigint, reason: SealReason, at: Date): Promise<void> {
  const changed = await trx
    .updateTable('aggregates')
    .set({ state: 'sealing', seal_reason: reason, changed_at: at })
    .where('id', '=', id)
    .where('state', '=', 'open')
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${id}`);
  await insertEvent(trx, { aggregate_id: id }, { from: 'open', to: 'sealing', at, reason });
}

/** What sealing has found out of an aggregate. Sizes in bytes, pieceBytes padded. */
export interface Seal {
  batchRoot: string;
  treeKey: string;
  treeBytes: number;
  carBytes: number;
  pieceCid: string;
  pieceBytes: bigint;
}

/** sealing → sealed. Throws `LostRace` if it is sealed already. */
export async function advanceToSealed(trx: Db, id: bigint, seal: Seal, at: Date): Promise<void> {
  const changed = await trx
    .updateTable('aggregates')
    .set({
      state: 'sealed',
      batch_root: seal.batchRoot,
      tree_key: seal.treeKey,
      tree_bytes: BigInt(seal.treeBytes),
      car_bytes: BigInt(seal.carBytes),
      piece_cid: seal.pieceCid,
      piece_bytes: seal.pieceBytes,
      sealed_at: at,
      changed_at: at,
    })
    .where('id', '=', id)
    .where('state', '=', 'sealing')
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${id}`);
  const evidence = { pieceCid: seal.pieceCid, batchRoot: seal.batchRoot };
  await insertEvent(trx, { aggregate_id: id }, { from: 'sealing', to: 'sealed', at, evidence });
}

/** Selectors written by one statement: enough to make round trips cheap, few enough to keep it small. */
const SELECTORS_PER_STATEMENT = 5_000;

/** Writes the selector of each upload of an aggregate. */
export async function advanceSelectors(
  trx: Db,
  aggregateId: bigint,
  entries: readonly { seq: number; root: string }[],
  paths: ReadonlyMap<string, BatchPath>,
): Promise<void> {
  for (let at = 0; at < entries.length; at += SELECTORS_PER_STATEMENT) {
    const some = entries.slice(at, at + SELECTORS_PER_STATEMENT);
    const seqs = some.map(({ seq }) => seq);
    const selectors = some.map(({ root }) => paths.get(root)?.selector ?? null);
    await sql`update placements p set selector = s.selector
      from unnest(${seqs}::integer[], ${selectors}::text[]) as s(seq, selector)
      where p.aggregate_id = ${aggregateId} and p.seq = s.seq`.execute(trx);
  }
}
