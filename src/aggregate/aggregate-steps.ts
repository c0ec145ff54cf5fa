import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { tellEvent } from '../db/tell-event.ts';
import { emptyAggregate, type OpenAggregate, type SealReason, type SealRules } from './place/placement-rules.ts';

type Db = Kysely<DB>;

/** Two processes that open aggregates take turns, so that no more than the configured number is open. */
const OPENING_LOCK = 7_210_331_001n;

/** Another process changed the row first: nothing of the transaction may stay. */
export class LostRace extends Error {
  override readonly name = 'LostRace';
}

/** Throws `LostRace` unless one row was changed. */
export function mustChange(changedRows: bigint, what: string): void {
  if (changedRows !== 1n) throw new LostRace(`${what} was changed by another process`);
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
  await tellEvent(trx, { aggregate: id }, { to: 'open', at });
  return { id, capacityBytes, lengthBytes, entryCount, oldestAcceptedAt: undefined };
}

/** What an aggregate was topped up with before it went to sealing. */
interface ToppedUp {
  runs: number;
  runBytes: bigint;
  fillerBytes: bigint;
}

interface Sealing {
  reason: SealReason;
  at: Date;
  toppedUp?: ToppedUp | undefined;
}

/** open → sealing. Throws `LostRace` if it is not open any more. */
export async function advanceToSealing(trx: Db, id: bigint, { reason, at, toppedUp }: Sealing): Promise<void> {
  const changed = await trx
    .updateTable('aggregates')
    .set({ state: 'sealing', seal_reason: reason, changed_at: at })
    .where('id', '=', id)
    .where('state', '=', 'open')
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${id}`);
  const evidence = toppedUp && {
    toppedUpRuns: toppedUp.runs,
    toppedUpBytes: toppedUp.runBytes.toString(),
    fillerBytes: toppedUp.fillerBytes.toString(),
  };
  await tellEvent(trx, { aggregate: id }, { from: 'open', to: 'sealing', at, reason, evidence });
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
  await tellEvent(trx, { aggregate: id }, { from: 'sealing', to: 'sealed', at, evidence });
}

/** Selectors written by one statement: enough to make round trips cheap, few enough to keep it small. */
const SELECTORS_PER_STATEMENT = 1_000;

/** Writes the selector of each upload of an aggregate; `selectorAt` tells it for a place in `entries`. */
export async function advanceSelectors(
  trx: Db,
  aggregateId: bigint,
  entries: readonly { seq: number }[],
  selectorAt: (at: number) => string,
): Promise<void> {
  for (let start = 0; start < entries.length; start += SELECTORS_PER_STATEMENT) {
    const some = entries.slice(start, start + SELECTORS_PER_STATEMENT);
    const seqs = some.map(({ seq }) => seq);
    const selectors = some.map((_, offset) => selectorAt(start + offset));
    await sql`update placements p set selector = s.selector
      from unnest(${seqs}::integer[], ${selectors}::text[]) as s(seq, selector)
      where p.aggregate_id = ${aggregateId} and p.seq = s.seq`.execute(trx);
  }
}
