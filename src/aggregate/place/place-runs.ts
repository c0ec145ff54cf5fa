import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { LostRace, mustChange } from '../aggregate-steps.ts';
import type { OpenAggregate, WaitingUpload } from './placement-rules.ts';

type Db = Kysely<DB>;

/** A run and where it goes: behind what its aggregate holds by then. */
export interface Placement {
  aggregateId: bigint;
  seq: number;
  offsetBytes: bigint;
  upload: WaitingUpload;
}

/** An aggregate before and after some placements. */
export interface Filling {
  before: OpenAggregate;
  after: OpenAggregate;
}

/**
 * Puts runs at the end of open aggregates: lengths, counts, placements, uploads and events, all or nothing. Throws
 * `LostRace` if an aggregate is not as given any more, an upload does not wait any more, or a cut is another by now.
 */
export async function advanceByPlacements(
  trx: Db,
  { fillings, placements, at }: { fillings: readonly Filling[]; placements: readonly Placement[]; at: Date },
): Promise<void> {
  // In the same order in all processes, or two of them could wait for each other.
  for (const filling of fillings.toSorted((a, b) => Number(a.before.id - b.before.id))) {
    await advanceFilling(trx, filling, at);
  }
  await lockWaiting(trx, placements);
  await insertPlacements(trx, placements);
  await stowUploads(trx, placements, at);
}

async function advanceFilling(trx: Db, { before, after }: Filling, at: Date): Promise<void> {
  const changed = await trx
    .updateTable('aggregates')
    .set({
      length_bytes: after.lengthBytes,
      entry_count: after.entryCount,
      oldest_accepted_at: after.oldestAcceptedAt ?? null,
      changed_at: at,
    })
    .where('id', '=', before.id)
    .where('state', '=', 'open')
    .where('length_bytes', '=', before.lengthBytes)
    .where('entry_count', '=', before.entryCount)
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${before.id}`);
}

/**
 * From here on the uploads wait as they were seen, and their cuts are those that were seen, until the end of the
 * transaction. One that was removed and sent again meanwhile waits too, maybe with a run of another length.
 */
async function lockWaiting(trx: Db, placements: readonly Placement[]): Promise<void> {
  const ids = [...new Set(placements.map(({ upload }) => upload.id))];
  const { rows } = await sql`select id from uploads where id = any(${ids}::bigint[]) and state = 'waiting'
    order by id for update`.execute(trx);
  if (rows.length !== ids.length) throw new LostRace('an upload was changed by another process');
  await checkWhole(
    trx,
    placements.filter(({ upload }) => upload.cut === undefined),
  );
  await checkCuts(
    trx,
    placements.filter(({ upload }) => upload.cut !== undefined),
  );
}

async function checkWhole(trx: Db, whole: readonly Placement[]): Promise<void> {
  if (whole.length === 0) return;
  const { rows: same } = await sql`
    select from unnest(${whole.map(({ upload }) => upload.id)}::bigint[],
      ${whole.map(({ upload }) => upload.runBytes)}::bigint[]) as given (id, run_bytes)
    join uploads using (id, run_bytes)
    where not exists (select from current_cuts c where c.upload_id = given.id)`.execute(trx);
  if (same.length !== whole.length) throw new LostRace('an upload was sent anew or cut by another process');
}

async function checkCuts(trx: Db, cuts: readonly Placement[]): Promise<void> {
  if (cuts.length === 0) return;
  const { rows: same } = await sql`
    select from unnest(${cuts.map(({ upload }) => upload.id)}::bigint[],
      ${cuts.map(({ upload }) => upload.cut?.number)}::integer[],
      ${cuts.map(({ upload }) => upload.runBytes)}::bigint[]) as given (upload_id, cut, run_bytes)
    join current_cuts using (upload_id, cut, run_bytes)
    where not exists (select from placements p
      where p.upload_id = given.upload_id and p.cut = given.cut and not p.topped_up)`.execute(trx);
  if (same.length !== cuts.length) throw new LostRace('a cut was changed by another process');
}

async function insertPlacements(trx: Db, placements: readonly Placement[]): Promise<void> {
  await sql`
    insert into placements (aggregate_id, seq, upload_id, cut, offset_bytes, length_bytes)
    select * from unnest(
      ${placements.map(({ aggregateId }) => aggregateId)}::bigint[],
      ${placements.map(({ seq }) => seq)}::integer[],
      ${placements.map(({ upload }) => upload.id)}::bigint[],
      ${placements.map(({ upload }) => upload.cut?.number ?? null)}::integer[],
      ${placements.map(({ offsetBytes }) => offsetBytes)}::bigint[],
      ${placements.map(({ upload }) => upload.runBytes)}::bigint[])`.execute(trx);
}

/** An upload is stowed whole, or with its last cut. */
async function stowUploads(trx: Db, placements: readonly Placement[], at: Date): Promise<void> {
  const ids = placements.flatMap(({ upload }) => (isDone(upload) ? [upload.id] : []));
  if (ids.length > 0) {
    const { numAffectedRows } = await sql`update uploads set state = 'stowed', changed_at = ${at}
      where id = any(${ids}::bigint[]) and state = 'waiting'`.execute(trx);
    if (numAffectedRows !== BigInt(ids.length)) throw new LostRace('an upload was changed by another process');
  }
  await tellPlaces(trx, placements, at);
}

function isDone({ cut }: WaitingUpload): boolean {
  return cut === undefined || cut.isLast;
}

/** Where each run went; an upload of which other cuts have no place yet goes on waiting. */
async function tellPlaces(trx: Db, placements: readonly Placement[], at: Date): Promise<void> {
  await sql`
    insert into events (at, upload_id, from_state, to_state, reason_code, evidence)
    select ${at}::timestamptz, upload_id, 'waiting', case when done then 'stowed' else 'waiting' end,
      case when cut is not null then 'CUT_PLACED' end,
      jsonb_strip_nulls(jsonb_build_object('aggregateId', aggregate_id::text, 'offsetBytes', offset_bytes::text, 'cut', cut))
    from unnest(${placements.map(({ upload }) => upload.id)}::bigint[],
      ${placements.map(({ aggregateId }) => aggregateId)}::bigint[],
      ${placements.map(({ offsetBytes }) => offsetBytes)}::bigint[],
      ${placements.map(({ upload }) => upload.cut?.number ?? null)}::integer[],
      ${placements.map(({ upload }) => isDone(upload))}::boolean[])
      with ordinality as given (upload_id, aggregate_id, offset_bytes, cut, done, nth)
    order by nth`.execute(trx);
}
