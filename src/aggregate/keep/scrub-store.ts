import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

type Db = Kysely<DB>;

/** What is read: parts of uploads, then batch trees of aggregates. */
export type ScrubKind = 'parts' | 'trees';

/** Stored sections in a range of an object, of an upload or an aggregate. Bytes. */
export interface ScrubRange {
  kind: ScrubKind;
  /** Of the part, or of the aggregate. */
  id: bigint;
  uploadId: bigint | null;
  aggregateId: bigint | null;
  objectKey: string;
  offset: number;
  lengthBytes: number;
}

/** Parts after this one, in order of id. */
async function listParts(db: Db, afterId: bigint, limit: number): Promise<ScrubRange[]> {
  const rows = await db.selectFrom('parts').selectAll().where('id', '>', afterId).orderBy('id').limit(limit).execute();
  return rows.map((row) => ({
    kind: 'parts',
    id: row.id,
    uploadId: row.upload_id,
    aggregateId: null,
    objectKey: row.object_key,
    offset: Number(row.object_offset),
    lengthBytes: Number(row.length_bytes),
  }));
}

async function listTrees(db: Db, afterId: bigint, limit: number): Promise<ScrubRange[]> {
  const rows = await db
    .selectFrom('aggregates')
    .select(['id', 'tree_key', 'tree_bytes'])
    .where('id', '>', afterId)
    .where('state', '=', 'sealed')
    .where('released_at', 'is', null)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.flatMap(({ id, tree_key, tree_bytes }) =>
    tree_key === null || tree_bytes === null
      ? []
      : [
          {
            kind: 'trees' as const,
            id,
            uploadId: null,
            aggregateId: id,
            objectKey: tree_key,
            offset: 0,
            lengthBytes: Number(tree_bytes),
          },
        ],
  );
}

export async function listRanges(db: Db, kind: ScrubKind, afterId: bigint, limit: number): Promise<ScrubRange[]> {
  return kind === 'parts' ? listParts(db, afterId, limit) : listTrees(db, afterId, limit);
}

/** Whether something still needs the range: it may have been removed or released since it was listed. */
export async function isStillNeeded(db: Db, { kind, id }: ScrubRange): Promise<boolean> {
  const row =
    kind === 'parts'
      ? await db.selectFrom('parts').select('id').where('id', '=', id).executeTakeFirst()
      : await db
          .selectFrom('aggregates')
          .select('id')
          .where('id', '=', id)
          .where('released_at', 'is', null)
          .executeTakeFirst();
  return row !== undefined;
}

export interface ScrubProgress {
  afterId: bigint;
  readBytes: bigint;
  passBeganAt: Date;
}

/** How far the pass has come that is under way; undefined when none was ever begun. */
export async function findProgress(db: Db, kind: ScrubKind): Promise<ScrubProgress | undefined> {
  const row = await db.selectFrom('scrub_progress').selectAll().where('kind', '=', kind).executeTakeFirst();
  return row && { afterId: row.after_id, readBytes: row.read_bytes, passBeganAt: row.pass_began_at };
}

export async function saveProgress(
  db: Db,
  kind: ScrubKind,
  { afterId, readBytes, passBeganAt, passEndedAt }: ScrubProgress & { passEndedAt?: Date },
): Promise<void> {
  const ended = passEndedAt === undefined ? {} : { pass_ended_at: passEndedAt };
  const values = { after_id: afterId, read_bytes: readBytes, pass_began_at: passBeganAt, ...ended };
  await db
    .insertInto('scrub_progress')
    .values({ kind, ...values })
    .onConflict((conflict) => conflict.column('kind').doUpdateSet(values))
    .execute();
}

/** Writes damage down once, however often it is found. True: it was not known. */
export async function insertDamage(db: Db, range: ScrubRange, what: string, at: Date): Promise<boolean> {
  const result = await db
    .insertInto('damage')
    .values({
      object_key: range.objectKey,
      object_offset: BigInt(range.offset),
      length_bytes: BigInt(range.lengthBytes),
      upload_id: range.uploadId,
      aggregate_id: range.aggregateId,
      what,
      found_at: at,
    })
    .onConflict((conflict) =>
      conflict.columns(['object_key', 'object_offset']).where('cleared_at', 'is', null).doNothing(),
    )
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** The range is sound: true when it was told as damaged before. */
export async function clearDamage(db: Db, { objectKey, offset }: ScrubRange, at: Date): Promise<boolean> {
  const result = await db
    .updateTable('damage')
    .set({ cleared_at: at })
    .where('object_key', '=', objectKey)
    .where('object_offset', '=', BigInt(offset))
    .where('cleared_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Damage of bytes that nobody needs any more is none. */
export async function clearUnneeded(db: Db, at: Date): Promise<void> {
  await sql`
    update damage d set cleared_at = ${at} where d.cleared_at is null
      and not exists (select from parts p where p.object_key = d.object_key and p.object_offset = d.object_offset)
      and not exists (select from aggregates a where a.id = d.aggregate_id and a.released_at is null)`.execute(db);
}

/** Damage as it stands. */
export interface Damage {
  objectKey: string;
  offset: number;
  lengthBytes: number;
  /** The upload's root, or null for the tree of an aggregate. */
  root: string | null;
  aggregateId: bigint | null;
  what: string;
  foundAt: Date;
}

/** Oldest first. */
export async function listDamage(db: Db, limit: number): Promise<Damage[]> {
  const rows = await db
    .selectFrom('damage as d')
    .leftJoin('uploads as u', 'u.id', 'd.upload_id')
    .selectAll('d')
    .select('u.root')
    .where('d.cleared_at', 'is', null)
    .orderBy('d.id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    objectKey: row.object_key,
    offset: Number(row.object_offset),
    lengthBytes: Number(row.length_bytes),
    root: row.root,
    aggregateId: row.aggregate_id,
    what: row.what,
    foundAt: row.found_at,
  }));
}
