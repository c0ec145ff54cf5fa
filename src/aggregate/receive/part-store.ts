import { sql, type Kysely } from 'kysely';
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

type Sections = Iterable<TrackedSection> | AsyncIterable<TrackedSection>;

/** Rows of one insert, and the bytes of the CIDs in it: some megabytes of memory whatever the part. */
const BATCH_SECTIONS = 2_000;
const BATCH_LINK_BYTES = 1024 * 1024;

/**
 * Ranges of one part whose blocks are new. A client repeats ancestors at the start of a part, and a few repeated leaves
 * anywhere; more holes than this are no part but scraps, and each is a row for ever.
 */
export const MAX_RANGES = 10_000;

/**
 * Writes down a part's blocks, and answers the ranges of its object whose blocks no earlier part holds. Memory: one
 * batch. Throws `PART_TOO_SCATTERED`.
 */
export async function addPartBlocks(
  trx: Kysely<DB>,
  uploadId: bigint,
  part: { objectKey: string; offset: number; sections: Sections },
): Promise<StoredRange[]> {
  const ranges: StoredRange[] = [];
  let { offset } = part;
  let open: StoredRange | undefined;
  for await (const batch of batches(part.sections)) {
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

async function* batches(sections: Sections): AsyncGenerator<TrackedSection[]> {
  let batch: TrackedSection[] = [];
  let linkBytes = 0;
  for await (const section of sections) {
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

export async function hasParts(trx: Kysely<DB>, uploadId: bigint): Promise<boolean> {
  const query = trx.selectFrom('parts').select('id').where('upload_id', '=', uploadId).limit(1);
  return (await query.executeTakeFirst()) !== undefined;
}

/**
 * Forgets the parts of an upload that failed although it lacked none, because it could not be cut: which blocks they have
 * is written down no more, so that what comes now begins anew. Their objects go by the sweep.
 */
export async function deleteUncuttable(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  const lacksNone = trx
    .selectFrom('uploads')
    .select('id')
    .where('id', '=', uploadId)
    .where('missing_count', 'is', null);
  await trx.deleteFrom('parts').where('upload_id', 'in', lacksNone).execute();
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
