import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { receiveLimits } from '../src/aggregate/receive/receive-limits.ts';
import { receiveCar } from '../src/aggregate/receive/receive.ts';
import { systemClock as clock } from '../src/clock.ts';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { installJobs, startJobs } from '../src/jobs/jobs.ts';
import { silentLog as log } from '../src/log/log.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import { rounded } from './measure.ts';

const MIB = 1024 * 1024;
const SAMPLE_MS = 20;
const never = new AbortController().signal;

/** The greatest memory of this process from now on, in bytes; PostgreSQL and the maker of the CAR are processes of their own. */
function watchMemory() {
  const baseline = process.memoryUsage.rss();
  let peak = baseline;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, SAMPLE_MS);
  return () => {
    clearInterval(timer);
    return { baseline, peak };
  };
}

/**
 * One CAR of so many small blocks, received in full: in one piece, or as a part that lacks its first block (`part`), so that
 * all blocks are written down in the database and their links followed there.
 */
export async function benchHugeDag(count = '1000000', mode = 'whole'): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-huge-'));
  try {
    await chmod(folder, 0o755);
    await using embedded = await startEmbedded({ dataDir: folder, log, signal: never });
    await migrate(embedded.url);
    await installJobs(embedded.url);
    await using database = connect(embedded.url);
    await using jobs = await startJobs({ url: embedded.url, clock, log });
    const store = await openLocalStore(join(folder, 'store'));
    const limits = receiveLimits({ maxUploadBytes: 2n ** 40n, minFreeBytes: 0n });
    const deps = { kysely: database.kysely, store, jobs, clock, log, limits, spillFolder: join(folder, 'spill') };
    const script = fileURLToPath(new URL('./huge-car.ts', import.meta.url));
    const missing = mode === 'part' ? '1' : '0';
    const maker = spawn(process.execPath, [script, count, missing], { stdio: ['ignore', 'pipe', 'inherit'] });
    // Making the CAR's header takes a walk over all blocks, which is no work of ours.
    await once(maker.stdout, 'readable');
    const memory = watchMemory();
    const start = performance.now();
    let last = start;
    const body = timed(maker.stdout, () => (last = performance.now()));
    const received = await receiveCar(deps, { body, owner: 'bench', signal: never });
    const seconds = (performance.now() - start) / 1000;
    const { baseline, peak } = memory();
    const { rows } = await database.pool.query<{ blocks: bigint | null }>('select block_count as blocks from uploads');
    return {
      bench: 'huge-dag',
      blocks: Number(rows[0]?.blocks ?? count),
      mode,
      complete: received.complete,
      seconds: rounded(seconds),
      seconds_until_last_byte: rounded((last - start) / 1000),
      baseline_mib: rounded(baseline / MIB),
      above_baseline_mib: rounded((peak - baseline) / MIB),
      load: loadavg()[0],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* timed(body: AsyncIterable<Uint8Array>, seen: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    seen();
    yield chunk;
  }
}
