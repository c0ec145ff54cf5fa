import { sql, type Kysely } from 'kysely';
import type { DB } from '../../src/db/tables.ts';
import { pieceCidV1 } from '../../src/filecoin/piece.ts';
import type { ManyJobs } from '../../src/jobs/jobs.ts';

export const PIECE_BYTES = 2n ** 20n;
const BATCH_ROOT = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi';

/** A sealed aggregate as seal leaves it; `seed` makes its piece CID. */
export async function insertSealedAggregate(
  db: Kysely<DB>,
  seed: number,
  at: Date,
  pieceBytes = PIECE_BYTES,
): Promise<bigint> {
  const carBytes = pieceBytes === PIECE_BYTES ? 901_000n : (pieceBytes / 128n) * 126n;
  return await db.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('aggregates')
      .values({
        state: 'sealed',
        capacity_bytes: 1_040_384n,
        length_bytes: carBytes - 1_000n,
        entry_count: 1,
        oldest_accepted_at: at,
        seal_reason: 'age',
        tree_key: `trees/${seed}`,
        tree_bytes: 1_000n,
        batch_root: BATCH_ROOT,
        car_bytes: carBytes,
        piece_cid: pieceCidV1(new Uint8Array(32).fill(seed, 0, 31)).toString(),
        piece_bytes: pieceBytes,
        opened_at: at,
        sealed_at: at,
        changed_at: at,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ at, aggregate_id: id, to_state: 'sealed' }).execute();
    return id;
  });
}

export interface LoggedJob {
  queue: string;
  data: unknown;
  startAfter: Date | undefined;
}

/** Jobs kept in a table of the test's own, so that a rolled-back transaction leaves none, as with the real ones. */
export async function createJobLog(db: Kysely<DB>) {
  await sql`create table logged_jobs (id bigint generated always as identity, queue text, data jsonb, start_after timestamptz)`.execute(
    db,
  );
  const jobs: ManyJobs = {
    send: async (trx, queue, data, options = {}) => {
      const json = JSON.stringify(data);
      await sql`insert into logged_jobs (queue, data, start_after) values (${queue}, ${json}::jsonb, ${options.startAfter ?? null})`.execute(
        trx,
      );
    },
    sendAll: async (trx, queue, given) => {
      for (const data of given) await jobs.send(trx, queue, data);
    },
  };
  /** The jobs since the last call, oldest first. */
  const take = async (): Promise<LoggedJob[]> => {
    const taken = sql<{
      id: bigint;
      queue: string;
      data: unknown;
      start_after: Date | null;
    }>`delete from logged_jobs returning *`;
    const { rows } = await taken.execute(db);
    const inOrder = rows.sort((a, b) => Number(a.id - b.id));
    return inOrder.map(({ queue, data, start_after: startAfter }) => ({
      queue,
      data,
      startAfter: startAfter ?? undefined,
    }));
  };
  return { jobs, take };
}
