import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { HashPairs } from '../../filecoin/commp/pair-hashing.ts';
import { NODE_BYTES, SubtreeStack } from '../../filecoin/commp/tree.ts';

type Db = Kysely<DB>;

const UNIT_BYTES = 127;
const LEAVES_PER_UNIT = 4;
/**
 * Bytes of an aggregate whose root is kept, 32 MiB of its piece: few enough roots for any piece (1,024 in 32 GiB), and a
 * chunk that is still open is read in a moment. Stored roots rest on it, so it never changes.
 */
export const CHUNK_BYTES = UNIT_BYTES * 2 ** 18;

/** The height of a chunk's subtree in the piece. `chunkBytes` is 127 times a power of two. */
export function chunkLevel(chunkBytes: number): number {
  return Math.log2((chunkBytes / UNIT_BYTES) * LEAVES_PER_UNIT);
}

/**
 * The chunks that an open aggregate of this length will never change: the first has the header, whose root is not known
 * yet, and the last one grows until it is full. From 1 to `end`, exclusive.
 */
export function endOfSettledChunks(lengthBytes: bigint, chunkBytes: number): number {
  return Math.max(1, Number(lengthBytes / BigInt(chunkBytes)));
}

/** The root of a piece of this padded size whose chunks have these roots, first to last; zeros fill the rest. */
export function foldChunks(
  roots: readonly Uint8Array[],
  { chunkBytes, pieceBytes, hashPairs }: { chunkBytes: number; pieceBytes: bigint; hashPairs: HashPairs },
): Uint8Array {
  const stack = new SubtreeStack(hashPairs);
  for (const root of roots) stack.push({ level: chunkLevel(chunkBytes), root });
  return stack.rootAt(Math.log2(Number(pieceBytes) / NODE_BYTES));
}

/** The known roots by chunk. */
export async function listChunkRoots(db: Db, aggregateId: bigint): Promise<Map<number, Uint8Array>> {
  const query = db.selectFrom('chunks').select(['index', 'root']).where('aggregate_id', '=', aggregateId);
  return new Map((await query.orderBy('index').execute()).map(({ index, root }) => [index, root]));
}

export async function hasChunk(db: Db, aggregateId: bigint, index: number): Promise<boolean> {
  const query = db
    .selectFrom('chunks')
    .select('index')
    .where('aggregate_id', '=', aggregateId)
    .where('index', '=', index);
  return (await query.executeTakeFirst()) !== undefined;
}

/** Keeps roots; those that another process has kept meanwhile are the same. */
export async function insertChunks(db: Db, aggregateId: bigint, roots: ReadonlyMap<number, Uint8Array>): Promise<void> {
  if (roots.size === 0) return;
  const rows = [...roots].map(([index, root]) => ({ aggregate_id: aggregateId, index, root: Buffer.from(root) }));
  await db
    .insertInto('chunks')
    .values(rows)
    .onConflict((conflict) => conflict.columns(['aggregate_id', 'index']).doNothing())
    .execute();
}

/** Open aggregates with settled chunks whose roots are not known: a 'hash' job should exist for each. */
export async function listAggregatesToHash(db: Db, limit: number, chunkBytes = CHUNK_BYTES): Promise<bigint[]> {
  const rows = await db
    .selectFrom('aggregates as a')
    .select('a.id')
    .where('a.state', '=', 'open')
    // An open aggregate has no rows but those of settled chunks.
    .where(
      sql<boolean>`a.length_bytes / ${chunkBytes}::bigint - 1 > (select count(*) from chunks c where c.aggregate_id = a.id)`,
    )
    .orderBy('a.id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
