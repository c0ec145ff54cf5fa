import { sql, type Kysely } from 'kysely';
import type { DB } from '../../../db/tables.ts';
import { tellEvent } from '../../../db/tell-event.ts';
import { DELETE_BATCH_ROWS } from '../../delete-of-upload.ts';

/** A run of a sealed aggregate. Bytes of the CAR, `end` exclusive. */
export interface KeptRun {
  seq: number;
  root: string;
  selector: string;
  start: number;
  end: number;
  /** A part of an upload that was cut. */
  isPart: boolean;
  /** Its blocks lie in the order in which the CARs of a part each were accepted. */
  cameInParts: boolean;
}

/** Rows of one query. */
const PAGE_RUNS = 2_000;

/** All runs in their order. Throws an Error where one is missing or has no selector. */
export async function* listKeptRuns(db: Kysely<DB>, aggregateId: bigint): AsyncGenerator<KeptRun> {
  for (let next = 0; ; ) {
    const rows = await db
      .selectFrom('placements as p')
      .innerJoin('uploads as u', 'u.id', 'p.upload_id')
      .select(['p.seq', 'u.root', 'p.selector', 'p.offset_bytes', 'p.length_bytes', 'p.cut'])
      .select(
        sql<boolean>`exists (select from parts where upload_id = p.upload_id and run_seq > 0)`.as('came_in_parts'),
      )
      .where('p.aggregate_id', '=', aggregateId)
      .where('p.seq', '>=', next)
      .orderBy('p.seq')
      .limit(PAGE_RUNS)
      .execute();
    for (const { seq, root, selector, offset_bytes, length_bytes, cut, came_in_parts: cameInParts } of rows) {
      if (seq !== next || selector === null)
        throw new Error(`placement ${next} of aggregate ${aggregateId} is not whole`);
      const [start, end] = [Number(offset_bytes), Number(offset_bytes + length_bytes)];
      yield { seq, root, selector, start, end, isPart: cut !== null, cameInParts };
      next += 1;
    }
    if (rows.length < PAGE_RUNS) return;
  }
}

export interface ReleaseRule {
  /** The youngest of the wanted replicas has been active since this time at least. */
  activeBefore: Date;
}

/** Sealed aggregates, and the one of `only`, that are kept well enough to let their bytes go; oldest first. */
export async function listReleasable(
  db: Kysely<DB>,
  { activeBefore }: ReleaseRule,
  { only, limit }: { only?: bigint; limit: number },
): Promise<{ id: bigint; activeReplicas: number }[]> {
  let query = db
    .selectFrom('aggregates as a')
    .innerJoin('aggregate_replicas as r', 'r.aggregate_id', 'a.id')
    .select(['a.id', 'r.active_replicas'])
    .where('a.state', '=', 'sealed')
    .where('a.released_at', 'is', null)
    .where('r.active_replicas', '>=', (eb) =>
      eb.selectFrom('policies').select('replicas').orderBy('version', 'desc').limit(1),
    )
    .where('r.last_active_at', '<=', activeBefore)
    .orderBy('a.id')
    .limit(limit);
  if (only !== undefined) query = query.where('a.id', '=', only);
  return (await query.execute()).map((row) => ({ id: row.id, activeReplicas: row.active_replicas ?? 0 }));
}

/**
 * The aggregate has no bytes from now on, and its proofs are in the object `proofsKey`: row, event, and the rows of bytes
 * that nothing else needs, all or nothing. False when somebody was first, or a replica was lost meanwhile.
 */
export async function releaseBytes(
  db: Kysely<DB>,
  given: { id: bigint; proofsKey: string; at: Date },
  rule: ReleaseRule,
): Promise<boolean> {
  const { id, proofsKey, at } = given;
  return await db.transaction().execute(async (trx) => {
    await trx.selectFrom('aggregates').select('id').where('id', '=', id).forUpdate().execute();
    const [found] = await listReleasable(trx, rule, { only: id, limit: 1 });
    if (found === undefined) return false;
    await lockUploads(trx, id);
    await trx
      .updateTable('aggregates')
      .set({ released_at: at, proofs_key: proofsKey })
      .where('id', '=', id)
      .where('released_at', 'is', null)
      .execute();
    const evidence = { proofsKey, activeReplicas: found.activeReplicas };
    const told = { from: 'sealed', to: 'sealed', at, reason: 'BYTES_RELEASED', evidence };
    await tellEvent(trx, { aggregate: id }, told);
    await deleteExtents(trx, id);
    await deleteParts(trx, id);
    return true;
  });
}

/** Whoever places one of these uploads once more takes a lock of its row: it comes before or after. */
async function lockUploads(trx: Kysely<DB>, aggregateId: bigint): Promise<void> {
  await sql`
    select count(*) from (
      select id from uploads where id in (select upload_id from placements where aggregate_id = ${aggregateId})
      order by id for update) locked`.execute(trx);
}

/** The ranges of cuts that lie in released aggregates alone. */
async function deleteExtents(trx: Kysely<DB>, aggregateId: bigint): Promise<void> {
  await repeatFull(() =>
    sql`
      delete from cut_extents where ctid = any(array(
        select e.ctid from placements p join cut_extents e on e.upload_id = p.upload_id and e.cut = p.cut
        where p.aggregate_id = ${aggregateId} and not exists (
          select from placements q join aggregates a on a.id = q.aggregate_id
          where q.upload_id = p.upload_id and q.cut = p.cut and a.released_at is null)
        limit ${DELETE_BATCH_ROWS}))`.execute(trx),
  );
}

/** The parts of uploads all of which is placed, in released aggregates alone. */
async function deleteParts(trx: Kysely<DB>, aggregateId: bigint): Promise<void> {
  await repeatFull(() =>
    sql`
      delete from parts where ctid = any(array(
        select part.ctid from placements p join uploads u on u.id = p.upload_id join parts part on part.upload_id = u.id
        where p.aggregate_id = ${aggregateId} and u.state = 'stowed' and not exists (
          select from placements q join aggregates a on a.id = q.aggregate_id
          where q.upload_id = u.id and a.released_at is null)
        limit ${DELETE_BATCH_ROWS}))`.execute(trx),
  );
}

/** A statement that deletes a batch, until one finds less than that. */
async function repeatFull(statement: () => Promise<{ numAffectedRows?: bigint | undefined }>): Promise<void> {
  while ((await statement()).numAffectedRows === BigInt(DELETE_BATCH_ROWS));
}
