import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { findOrMakeOwner, standing, type Standing } from './upload-store.ts';

/** A complete upload that nobody knew, and where its run lies. Bytes. */
export interface FreshRun {
  root: string;
  owner: string;
  runBytes: number;
  dagBytes: number;
  blockCount: number;
  objectOffset: number;
}

export interface FreshUpload {
  uploadId: bigint;
  /** Its place among the uploads that wait, from 1; undefined behind more than are worth counting. */
  position: number | undefined;
  /** Nothing is proposed at the moment: read here, because its status is told without another query. */
  proposingPaused: boolean;
}

/** More uploads than this are not counted for each group: a scan of the queue would slow down who fills it. */
const MAX_COUNTED_AHEAD = 10_000;

/** The standings of those of the roots (CIDv1 base32) that are known. */
export async function findStandings(kysely: Kysely<DB>, roots: readonly string[]): Promise<Map<string, Standing>> {
  const { rows } = await sql<{ root: string; standing: Standing }>`
    select u.root, ${standing} as standing from uploads u where u.root = any(${roots}::text[])`.execute(kysely);
  return new Map(rows.map((row) => [row.root, row.standing]));
}

/**
 * Owners, uploads, parts and events of many complete uploads by one statement; the roots must differ. Answers those that
 * were made: a root that is not among them was made by another transaction meanwhile, and nothing of it was written.
 */
export async function insertFresh(
  trx: Kysely<DB>,
  runs: readonly FreshRun[],
  { objectKey, at }: { objectKey: string; at: Date },
): Promise<Map<string, FreshUpload>> {
  const owners = new Map<string, bigint>();
  // One order for all, of owners here and of roots below: two processes that wait for each other's rows would deadlock.
  for (const name of [...new Set(runs.map(({ owner }) => owner))].sort()) {
    owners.set(name, await findOrMakeOwner(trx, name));
  }
  const { rows } = await sql<{ id: bigint; root: string; ahead: bigint; paused: boolean }>`
    with given as (
      select * from unnest(${runs.map(({ root }) => root)}::text[], ${runs.map(({ owner }) => owners.get(owner))}::bigint[],
        ${runs.map(({ runBytes }) => runBytes)}::bigint[], ${runs.map(({ dagBytes }) => dagBytes)}::bigint[],
        ${runs.map(({ blockCount }) => blockCount)}::bigint[], ${runs.map(({ objectOffset }) => objectOffset)}::bigint[])
        as g (root, owner_id, run_bytes, dag_bytes, block_count, object_offset)
    ), made as (
      insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
      select root, 'waiting', run_bytes, dag_bytes, block_count, ${at}::timestamptz, ${at}::timestamptz
      from given order by root
      on conflict (root) do nothing returning id, root
    ), owned as (
      insert into upload_owners (upload_id, owner_id, since)
      select m.id, g.owner_id, ${at}::timestamptz from made m join given g using (root)
    ), stored as (
      insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, run_seq, created_at)
      select m.id, ${objectKey}, g.object_offset, g.run_bytes, g.block_count, 0, ${at}::timestamptz
      from made m join given g using (root)
    ), told as (
      insert into events (at, upload_id, to_state) select ${at}::timestamptz, id, 'waiting' from made
    )
    select id, root, (select count(*) from (
      select from uploads where state = 'waiting' limit ${MAX_COUNTED_AHEAD + 1}) as w) as ahead,
      not (select proposing from policies order by version desc limit 1) as paused
    from made order by id`.execute(trx);
  const placeOf = (ahead: bigint, nth: number) => (ahead > MAX_COUNTED_AHEAD ? undefined : Number(ahead) + nth + 1);
  return new Map(
    rows.map(({ id, root, ahead, paused }, nth) => [
      root,
      { uploadId: id, position: placeOf(ahead, nth), proposingPaused: paused },
    ]),
  );
}
