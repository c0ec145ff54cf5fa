import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql, type Kysely } from 'kysely';
import { stow } from '../src/aggregate/place/stow.ts';
import { systemClock } from '../src/clock.ts';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { silentLog } from '../src/log/log.ts';
import { rounded } from './measure.ts';

const UPLOADS = 20_000;
const RUN_BYTES = 10_300;
const GIB = 2n ** 30n;
const HOUR_MS = 3_600_000;

const never = new AbortController().signal;

const rules = {
  pieceBytes: 32n * GIB,
  minPieceBytes: 16n * GIB,
  minFillBytes: 17_045_651_457n,
  maxAgeMs: 12 * HOUR_MS,
  forceAgeMs: 48 * HOUR_MS,
  openAggregates: 3,
};

/** Waiting uploads as rows alone: stowing reads no bytes. */
async function insertUploads(db: Kysely<DB>, count: number): Promise<void> {
  await sql`
    with given as (
      insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
      select 'bafkrei' || translate(lpad(i::text, 52, '0'), '0189', 'abcd'), 'waiting', ${RUN_BYTES}, 10240, 1, now(), now()
      from generate_series(1, ${count}::integer) i returning id, root
    )
    insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, run_seq, created_at)
    select id, 'runs/' || root, 0, ${RUN_BYTES}, 1, 0, now() from given`.execute(db);
  await sql`vacuum analyze uploads`.execute(db);
}

/** Placements per second of uploads of 10 KiB, until none waits. */
export async function benchStow(count = String(UPLOADS)): Promise<Record<string, unknown>> {
  const home = await mkdtemp(join(tmpdir(), 'lading-bench-'));
  await chmod(home, 0o755);
  try {
    await using server = await startEmbedded({ dataDir: home, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url);
    const { kysely: db } = database;
    await insertUploads(db, Number(count));
    const start = performance.now();
    await stow({ db, jobs: { send: async () => undefined }, clock: systemClock, rules, log: silentLog }, never);
    const seconds = (performance.now() - start) / 1_000;
    return { uploads: Number(count), seconds: rounded(seconds), perSecond: rounded(Number(count) / seconds) };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
