import { sql, type Kysely } from 'kysely';
import type { DB, UploadState } from '../../db/tables.ts';
import type { Missing } from './dag-tracker.ts';

/** The SQL of receiving: owners, uploads and their events. */
export interface UploadRow {
  id: bigint;
  state: UploadState;
}

/** The state, or `lost`: stowed, but its bytes were released, and no deal is left that holds all of it. */
export type Standing = UploadState | 'lost';

/**
 * The standing of an upload `u`. What is released has no parts; a run is held while an aggregate with it has a live deal,
 * which a released one gets no more (view uploads_in_deals, by which its pin is told too).
 */
export const standing = sql<Standing>`case
  when u.state <> 'stowed' or exists (select from parts where upload_id = u.id) then u.state::text
  when not exists (select from uploads_in_deals d where d.upload_id = u.id)
  then 'lost' else u.state::text end`;

/** What an upload's row says of its bytes: complete, or what is missing. */
export interface UploadFacts {
  runBytes: number;
  dagBytes: number;
  blockCount: number;
  missing: Missing | undefined;
}

export async function findUpload(
  kysely: Kysely<DB>,
  root: string,
): Promise<{ id: bigint; standing: Standing } | undefined> {
  const query = kysely.selectFrom('uploads as u').select(['u.id', standing.as('standing')]);
  return await query.where('u.root', '=', root).executeTakeFirst();
}

/**
 * The upload's row, locked until the transaction ends. Not for its key: whoever writes an event, an owner or a pin of it
 * without its row may hold what comes next here, and must not wait for the row in the check of a foreign key.
 */
export async function claimUpload(trx: Kysely<DB>, root: string): Promise<UploadRow | undefined> {
  return trx.selectFrom('uploads').select(['id', 'state']).where('root', '=', root).forNoKeyUpdate().executeTakeFirst();
}

function factsColumns({ runBytes, dagBytes, blockCount, missing }: UploadFacts) {
  const complete = missing === undefined;
  return {
    state: complete ? ('waiting' as const) : ('incomplete' as const),
    run_bytes: complete ? BigInt(runBytes) : null,
    dag_bytes: complete ? BigInt(dagBytes) : null,
    block_count: complete ? BigInt(blockCount) : null,
    missing_count: complete ? null : BigInt(missing.count),
    missing_first: complete ? null : missing.first,
    failure: null,
  };
}

/** The new upload's id; undefined when another transaction made one of this root first. */
export async function insertUpload(
  trx: Kysely<DB>,
  root: string,
  facts: UploadFacts,
  at: Date,
): Promise<bigint | undefined> {
  const row = await trx
    .insertInto('uploads')
    .values({ root, ...factsColumns(facts), created_at: at, changed_at: at })
    .onConflict((conflict) => conflict.column('root').doNothing())
    .returning('id')
    .executeTakeFirst();
  return row?.id;
}

/** Compare-and-set on the state; false when it is another by now. */
export async function advanceUpload(trx: Kysely<DB>, from: UploadRow, facts: UploadFacts, at: Date): Promise<boolean> {
  const result = await trx
    .updateTable('uploads')
    .set({ ...factsColumns(facts), changed_at: at })
    .where('id', '=', from.id)
    .where('state', '=', from.state)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

export async function insertUploadEvent(
  trx: Kysely<DB>,
  uploadId: bigint,
  change: { from: UploadState | null; facts: UploadFacts; at: Date; reason?: string | undefined },
): Promise<void> {
  const { missing } = change.facts;
  await trx
    .insertInto('events')
    .values({
      at: change.at,
      upload_id: uploadId,
      from_state: change.from,
      to_state: missing === undefined ? 'waiting' : 'incomplete',
      reason_code: change.reason ?? null,
      detail: missing === undefined ? null : `${missing.count} blocks missing, the first is ${missing.first}`,
    })
    .execute();
}

/** A further part came and the upload is incomplete still: from now on it has all of UPLOAD_TIMEOUT again. */
export async function updateMissing(trx: Kysely<DB>, uploadId: bigint, missing: Missing, at: Date): Promise<void> {
  await trx
    .updateTable('uploads')
    .set({ missing_count: BigInt(missing.count), missing_first: missing.first, changed_at: at })
    .where('id', '=', uploadId)
    .where('state', '=', 'incomplete')
    .execute();
}

/** An upload that is sent anew is placed by itself once more: where it lay before is no such place any more. */
export async function giveUpPlaces(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await trx
    .updateTable('placements')
    .set({ topped_up: true })
    .where('upload_id', '=', uploadId)
    .where('topped_up', '=', false)
    .execute();
}

/** The id of the token name. */
export async function findOrMakeOwner(trx: Kysely<DB>, name: string): Promise<bigint> {
  const known = await trx.selectFrom('owners').select('id').where('name', '=', name).executeTakeFirst();
  if (known !== undefined) return known.id;
  const made = await trx
    .insertInto('owners')
    .values({ name })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (made !== undefined) return made.id;
  return (await trx.selectFrom('owners').select('id').where('name', '=', name).executeTakeFirstOrThrow()).id;
}

/** The token name owns the upload from now on; one that ended its ownership before takes it up again. */
export async function addOwner(trx: Kysely<DB>, uploadId: bigint, name: string, at: Date): Promise<void> {
  await trx
    .insertInto('upload_owners')
    .values({ upload_id: uploadId, owner_id: await findOrMakeOwner(trx, name), since: at, ended_at: null })
    .onConflict((conflict) =>
      conflict
        .columns(['upload_id', 'owner_id'])
        .doUpdateSet({ since: at, ended_at: null })
        .where('upload_owners.ended_at', 'is not', null),
    )
    .execute();
}

interface StaleUpload {
  id: bigint;
  missingCount: bigint;
  missingFirst: string;
}

/** Incomplete uploads with no change since `before`, oldest first, locked; those locked by others are left out. */
export async function lockStale(trx: Kysely<DB>, which: { before: Date; limit: number }): Promise<StaleUpload[]> {
  const rows = await trx
    .selectFrom('uploads')
    .select(['id', 'missing_count', 'missing_first'])
    .where('state', '=', 'incomplete')
    .where('changed_at', '<=', which.before)
    .orderBy('changed_at')
    .orderBy('id')
    .limit(which.limit)
    .forUpdate()
    .skipLocked()
    .execute();
  return rows.map((row) => ({
    id: row.id,
    missingCount: row.missing_count ?? 0n,
    missingFirst: row.missing_first ?? '',
  }));
}

/** An incomplete upload whose row is locked fails, with its event. */
export async function failUpload(trx: Kysely<DB>, change: { id: bigint; failure: string; at: Date }): Promise<void> {
  const { id, failure, at } = change;
  await trx
    .updateTable('uploads')
    .set({ state: 'failed', failure, changed_at: at })
    .where('id', '=', id)
    .where('state', '=', 'incomplete')
    .execute();
  const event = { at, upload_id: id, from_state: 'incomplete', to_state: 'failed', reason_code: 'UPLOAD_TIMEOUT' };
  await trx
    .insertInto('events')
    .values({ ...event, detail: failure })
    .execute();
}
