import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { WaitingUpload } from './placement-rules.ts';

type Db = Kysely<DB>;

export async function findAnyWaiting(db: Db): Promise<bigint | undefined> {
  const query = db.selectFrom('uploads').select('id').where('state', '=', 'waiting').limit(1);
  return (await query.executeTakeFirst())?.id;
}

export interface WaitingPage {
  after?: WaitingCursor | undefined;
  /** Only runs up to this size; undefined: all. */
  maxRunBytes?: bigint | undefined;
  limit: number;
}

/** A place in the queue; the time as PostgreSQL's own text, which keeps its microseconds. */
export interface WaitingCursor {
  acceptedAt: string;
  id: bigint;
}

/** Waiting uploads, oldest first. An upload counts as accepted when it became complete: its last change of state. */
export async function listWaiting(
  db: Db,
  { after, maxRunBytes, limit }: WaitingPage,
): Promise<{ uploads: WaitingUpload[]; next: WaitingCursor | undefined }> {
  let query = db
    .selectFrom('uploads as u')
    .select(['u.id', 'u.root', 'u.run_bytes', 'u.changed_at', sql<string>`u.changed_at::text`.as('accepted_at')])
    .select((eb) =>
      eb.exists(eb.selectFrom('current_cuts as c').select('c.cut').whereRef('c.upload_id', '=', 'u.id')).as('is_cut'),
    )
    .where('u.state', '=', 'waiting')
    .orderBy('u.changed_at')
    .orderBy('u.id')
    .limit(limit);
  if (after !== undefined)
    query = query.where(sql<boolean>`(u.changed_at, u.id) > (${after.acceptedAt}::timestamptz, ${after.id}::bigint)`);
  if (maxRunBytes !== undefined)
    query = query.where(
      sql<boolean>`(u.run_bytes <= ${maxRunBytes}::bigint or exists (
        select from current_cuts c where c.upload_id = u.id and c.run_bytes <= ${maxRunBytes}::bigint))`,
    );
  const rows = await query.execute();
  const cutIds = rows.filter(({ is_cut }) => is_cut).map(({ id }) => id);
  const cuts = cutIds.length === 0 ? new Map<bigint, CutOfUpload[]>() : await listCutsToPlace(db, cutIds);
  const uploads = rows.flatMap(({ id, root, run_bytes, changed_at, is_cut }) => {
    const whole = { id, root, runBytes: run_bytes ?? 0n, acceptedAt: changed_at };
    return is_cut ? (cuts.get(id) ?? []).map((cut) => ({ ...whole, ...cut })) : [whole];
  });
  const last = rows.length < limit ? undefined : rows.at(-1);
  return { uploads, next: last && { acceptedAt: last.accepted_at, id: last.id } };
}

type CutOfUpload = Required<Pick<WaitingUpload, 'runBytes' | 'cut'>>;

/** By upload: the cuts that have no place yet, in order. */
async function listCutsToPlace(db: Db, uploadIds: readonly bigint[]): Promise<Map<bigint, CutOfUpload[]>> {
  const { rows } = await sql<{
    upload_id: bigint;
    cut: number;
    run_bytes: bigint;
    is_last: boolean;
    largest: bigint;
    held_by: string[];
  }>`
    select c.upload_id, c.cut, c.run_bytes, h.held_by, l.largest, c.cut = l.last as is_last
    from current_cuts c
    cross join lateral (select max(cut) as last, max(run_bytes) as largest from current_cuts where upload_id = c.upload_id) l
    cross join lateral (select coalesce(array_agg(p.aggregate_id::text), '{}') as held_by
      from placements p where p.upload_id = c.upload_id and not (p.cut is not null and p.topped_up)) h
    where c.upload_id = any(${uploadIds}::bigint[]) and not exists (
      select from placements p where p.upload_id = c.upload_id and p.cut = c.cut and not p.topped_up)
    order by c.upload_id, c.cut`.execute(db);
  const byUpload = new Map<bigint, CutOfUpload[]>();
  for (const { upload_id, cut, run_bytes, is_last, largest, held_by } of rows) {
    const cuts = byUpload.get(upload_id) ?? [];
    const place = { number: cut, isLast: is_last, largestBytes: largest, heldBy: new Set(held_by.map(BigInt)) };
    cuts.push({ runBytes: run_bytes, cut: place });
    byUpload.set(upload_id, cuts);
  }
  return byUpload;
}

/** Waiting uploads larger than `roomBytes` that have no cuts, after the given one by id: their cut jobs should exist. */
export async function listUncut(
  db: Db,
  roomBytes: bigint,
  page: { afterId: bigint; limit: number },
): Promise<bigint[]> {
  const rows = await db
    .selectFrom('uploads as u')
    .select('u.id')
    .where('u.state', '=', 'waiting')
    .where('u.run_bytes', '>', roomBytes)
    .where('u.id', '>', page.afterId)
    .where((eb) =>
      eb.not(eb.exists(eb.selectFrom('current_cuts as c').select('c.cut').whereRef('c.upload_id', '=', 'u.id'))),
    )
    .orderBy('u.id')
    .limit(page.limit)
    .execute();
  return rows.map(({ id }) => id);
}
