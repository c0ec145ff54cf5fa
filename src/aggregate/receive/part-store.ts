import { sql, type Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import type { DB } from '../../db/tables.ts';
import { BadInput } from '../../errors.ts';
import type { TrackedSection } from './dag-tracker.ts';

/** The SQL of uploads in parts. All of it runs while the caller holds the lock of the upload's row. */
export interface StoredRange {
  objectKey: string;
  offset: number;
  lengthBytes: number;
  blockCount: number;
}

export interface Missing {
  count: number;
  /** As CIDv1; the first as the links were found, level by level from the root. */
  first: string;
}

/** Rows of one insert, and the bytes of the CIDs in it: some megabytes of memory whatever the part. */
const BATCH_SECTIONS = 2_000;
const BATCH_LINK_BYTES = 1024 * 1024;

/**
 * Ranges of one part whose blocks are new. A client repeats ancestors at the start of a part, and a few repeated leaves
 * anywhere; more holes than this are no part but scraps, and each is a row for ever.
 */
const MAX_RANGES = 10_000;

/**
 * Writes down a part's blocks, and answers the ranges of its object whose blocks no earlier part holds. Memory: one
 * batch. Throws `PART_TOO_SCATTERED`.
 */
export async function addPartBlocks(
  trx: Kysely<DB>,
  uploadId: bigint,
  part: { objectKey: string; sections: Iterable<TrackedSection> },
): Promise<StoredRange[]> {
  const ranges: StoredRange[] = [];
  let offset = 0;
  let open: StoredRange | undefined;
  for (const batch of batches(part.sections)) {
    const added = await insertBlocks(trx, uploadId, batch);
    for (const { key, sectionBytes, repeated } of batch) {
      if (repeated || !added.has(key.toString('latin1'))) open = undefined;
      else {
        if (open === undefined) {
          open = { objectKey: part.objectKey, offset, lengthBytes: 0, blockCount: 0 };
          ranges.push(open);
          if (ranges.length > MAX_RANGES) throw tooScattered();
        }
        open.lengthBytes += sectionBytes;
        open.blockCount += 1;
      }
      offset += sectionBytes;
    }
  }
  return ranges;
}

function tooScattered(): BadInput {
  return new BadInput(
    'PART_TOO_SCATTERED',
    `this part repeats blocks of earlier parts at more than ${MAX_RANGES} places: send the upload as one CAR`,
    { details: { maxRanges: MAX_RANGES } },
  );
}

function* batches(sections: Iterable<TrackedSection>): Generator<TrackedSection[]> {
  let batch: TrackedSection[] = [];
  let linkBytes = 0;
  for (const section of sections) {
    batch.push(section);
    for (const link of section.links) linkBytes += link.length;
    if (batch.length < BATCH_SECTIONS && linkBytes < BATCH_LINK_BYTES) continue;
    yield batch;
    batch = [];
    linkBytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Those of the blocks that were not held before. */
async function insertBlocks(trx: Kysely<DB>, uploadId: bigint, batch: TrackedSection[]): Promise<Set<string>> {
  const keys = batch.map(({ key }) => key);
  const sizes = batch.map(({ blockBytes }) => blockBytes);
  // Arrays of arrays of different lengths do not exist in PostgreSQL, so each list of links goes as text.
  const links = batch.map((section) => `{${section.links.map((link) => `"\\\\x${link.toString('hex')}"`).join(',')}}`);
  const { rows } = await sql<{ cid: Buffer }>`
    with added as (
      insert into part_blocks (upload_id, cid, block_bytes, links, reached)
      select ${uploadId}, given.cid, given.size, given.links::bytea[], false
      from unnest(${keys}::bytea[], ${sizes}::integer[], ${links}::text[]) as given (cid, size, links)
      on conflict do nothing returning cid
    ), came as (
      update wanted_blocks w set came = true from added where w.upload_id = ${uploadId} and w.cid = added.cid
    )
    select cid from added`.execute(trx);
  return new Set(rows.map(({ cid }) => cid.toString('latin1')));
}

/**
 * Follows links from the root and from wanted blocks that have come, through blocks not reached before: over all parts
 * of an upload each block is followed once. Answers what is still missing; undefined when the DAG is complete.
 */
export async function followLinks(trx: Kysely<DB>, uploadId: bigint, root: string): Promise<Missing | undefined> {
  const rootKey = Buffer.from(CID.parse(root).bytes);
  // A new table has no statistics. The laterals (`offset 0` keeps them whole) and the array make sure that blocks are
  // looked up one by one in the index, however many there are and however deep the DAG is.
  await sql`
    with recursive found (cid) as (
      (select b.cid from part_blocks b where b.upload_id = ${uploadId} and b.cid = ${rootKey} and not b.reached
       union
       select w.cid from wanted_blocks w where w.upload_id = ${uploadId} and w.came)
      union
      select link from found f
      cross join lateral (
        select b.links from part_blocks b
        where b.upload_id = ${uploadId} and b.cid = f.cid and not b.reached offset 0) as node
      cross join lateral unnest(node.links) as link
    ), numbered as materialized (
      select f.cid, f.place, node.held is not null as held
      from (select cid, row_number() over () as place from found) f
      left join lateral (
        select true as held from part_blocks b where b.upload_id = ${uploadId} and b.cid = f.cid offset 0) as node on true
    ), reach as (
      update part_blocks b set reached = true
      where b.upload_id = ${uploadId} and b.cid = any(array(select n.cid from numbered n where n.held)) and not b.reached
    ), came as (
      delete from wanted_blocks w where w.upload_id = ${uploadId} and w.came
    )
    insert into wanted_blocks (upload_id, cid)
    select ${uploadId}, cid from numbered where not held order by place on conflict do nothing`.execute(trx);
  return findMissing(trx, uploadId);
}

async function findMissing(trx: Kysely<DB>, uploadId: bigint): Promise<Missing | undefined> {
  const wanted = trx.selectFrom('wanted_blocks').where('upload_id', '=', uploadId);
  const first = await wanted.select('cid').orderBy('id').limit(1).executeTakeFirst();
  if (first === undefined) return undefined;
  const { count } = await wanted.select((eb) => eb.fn.countAll<bigint>().as('count')).executeTakeFirstOrThrow();
  return { count: Number(count), first: CID.decode(first.cid).toString() };
}

export interface RunTotals {
  runBytes: number;
  dagBytes: number;
  blockCount: number;
}

/** What the parts kept so far come to. */
export async function sumParts(trx: Kysely<DB>, uploadId: bigint): Promise<Omit<RunTotals, 'dagBytes'>> {
  const sum = await trx
    .selectFrom('parts')
    .select(sql<bigint>`coalesce(sum(length_bytes), 0)::bigint`.as('bytes'))
    .select(sql<bigint>`coalesce(sum(block_count), 0)::bigint`.as('blocks'))
    .where('upload_id', '=', uploadId)
    .executeTakeFirstOrThrow();
  return { runBytes: Number(sum.bytes), blockCount: Number(sum.blocks) };
}

/** Makes all parts the run, in the order of acceptance. */
export async function placeParts(trx: Kysely<DB>, uploadId: bigint): Promise<RunTotals> {
  await sql`
    update parts p set run_seq = placed.seq
    from (select id, row_number() over (order by id) - 1 as seq from parts where upload_id = ${uploadId}) placed
    where p.id = placed.id`.execute(trx);
  const { bytes } = await trx
    .selectFrom('part_blocks')
    .select(sql<bigint>`sum(block_bytes)::bigint`.as('bytes'))
    .where('upload_id', '=', uploadId)
    .executeTakeFirstOrThrow();
  return { ...(await sumParts(trx, uploadId)), dagBytes: Number(bytes) };
}

/** Rows of one insert: five values each, far below PostgreSQL's 65,535 parameters. */
const BATCH_RANGES = 1_000;

/** `firstSeq`: the ranges are the run from there on; without it they are in none yet. */
export async function insertParts(
  trx: Kysely<DB>,
  uploadId: bigint,
  ranges: readonly StoredRange[],
  { at, firstSeq }: { at: Date; firstSeq?: number },
): Promise<void> {
  for (let from = 0; from < ranges.length; from += BATCH_RANGES) {
    const values = ranges.slice(from, from + BATCH_RANGES).map((range, place) => ({
      upload_id: uploadId,
      object_key: range.objectKey,
      object_offset: BigInt(range.offset),
      length_bytes: BigInt(range.lengthBytes),
      block_count: BigInt(range.blockCount),
      run_seq: firstSeq === undefined ? null : firstSeq + from + place,
      created_at: at,
    }));
    await trx.insertInto('parts').values(values).execute();
  }
}

/** Forgets parts that came before a complete CAR, which needs none of them; answers the objects that nobody names now. */
export async function deleteSpareParts(trx: Kysely<DB>, uploadId: bigint): Promise<string[]> {
  const gone = await trx
    .deleteFrom('parts')
    .where('upload_id', '=', uploadId)
    .where('run_seq', 'is', null)
    .returning('object_key')
    .execute();
  return [...new Set(gone.map((row) => row.object_key))];
}

const BLOCK_TABLES = ['part_blocks', 'wanted_blocks'] as const;

/** Deletes what was written down of an upload, which must be complete. */
export async function forgetBlocks(kysely: Kysely<DB>, uploadId: bigint): Promise<void> {
  for (const table of BLOCK_TABLES) await kysely.deleteFrom(table).where('upload_id', '=', uploadId).execute();
}

/** Complete uploads of which something is still written down. */
export async function listForgettable(kysely: Kysely<DB>): Promise<bigint[]> {
  const found = await Promise.all(BLOCK_TABLES.map((table) => listUploadsIn(kysely, table)));
  return [...new Set(found.flat())];
}

/** Skips from upload to upload in the index: an incomplete upload may have millions of rows. */
async function listUploadsIn(kysely: Kysely<DB>, table: (typeof BLOCK_TABLES)[number]): Promise<bigint[]> {
  const { rows } = await sql<{ id: bigint }>`
    with recursive held (id) as (
      select min(upload_id) from ${sql.table(table)}
      union all
      select (select min(b.upload_id) from ${sql.table(table)} b where b.upload_id > held.id) from held
      where held.id is not null)
    select u.id from held join uploads u on u.id = held.id where u.state in ('waiting', 'stowed')`.execute(kysely);
  return rows.map((row) => row.id);
}
