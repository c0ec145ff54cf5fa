import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { sql } from 'kysely';
import { GroupCommit } from '../src/aggregate/receive/commit-group.ts';
import { receiveLimits } from '../src/aggregate/receive/receive-limits.ts';
import { receiveCar, type ReceiveDeps } from '../src/aggregate/receive/receive.ts';
import { createServer } from '../src/api/server.ts';
import { systemClock as clock } from '../src/clock.ts';
import { readConfig } from '../src/config.ts';
import { connect, type Database } from '../src/db/connect.ts';
import { createStatusReader } from '../src/deals/status/status-reader.ts';
import { createPieceTokens } from '../src/deals/send/piece-token.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { installJobs, startJobs } from '../src/jobs/jobs.ts';
import { silentLog as log } from '../src/log/log.ts';
import { createFetcher } from '../src/outgoing/fetcher.ts';
import { startService } from '../src/service.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import type { ObjectStore } from '../src/storage/store.ts';
import { rounded } from './measure.ts';
import type { ClientOrder, ClientReport } from './upload-client.ts';

const CONNECTIONS = 64;
const TOKEN = 'bench-token';
const BLOCK_BYTES = 10 * 1024;
const WARM_MS = 1_500;
const BASELINE_MS = 3_000;
const GIB = 2n ** 30n;
const never = new AbortController().signal;

const sealRules = {
  pieceBytes: 32n * GIB,
  minPieceBytes: 16n * GIB,
  minFillBytes: 17n * GIB,
  maxAgeMs: 43_200_000,
  forceAgeMs: 172_800_000,
  openAggregates: 3,
};

async function load(order: Omit<ClientOrder, 'token' | 'connections'>): Promise<ClientReport> {
  const workerData: ClientOrder = { ...order, token: TOKEN, connections: CONNECTIONS };
  const worker = new Worker(new URL('./upload-client.ts', import.meta.url), { workerData });
  const [report] = (await once(worker, 'message')) as [ClientReport];
  await worker.terminate();
  return report;
}

/** What each upload would cost by itself: an object with its fsync, then a row with its own; nothing else. */
async function oneByOne({ kysely }: Database, store: ObjectStore, lanes: number): Promise<number> {
  const start = performance.now();
  let done = 0;
  const lane = async () => {
    for (; performance.now() - start < BASELINE_MS; done += 1) {
      const key = `bench/${randomBytes(12).toString('hex')}`;
      const staged = await store.stage(key);
      await staged.write(randomBytes(BLOCK_BYTES));
      await staged.commit();
      await sql`insert into bench_uploads (object_key) values (${key})`.execute(kysely);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return done / ((performance.now() - start) / 1000);
}

async function serve(database: Database, receive: ReceiveDeps) {
  const server = createServer({
    kysely: database.kysely,
    statuses: createStatusReader(database),
    store: receive.store,
    jobs: receive.jobs,
    clock,
    log,
    sealRules,
    tokens: [{ name: 'bench', role: 'upload', token: TOKEN }],
    webhookSecret: () => '',
    webhookRules: { allowPrivate: false },
    pullSources: { fetcher: createFetcher({ allowPrivate: false }), s3Places: [] },
    publicCheck: false,
    verifyPieceToken: () => undefined,
    pieceTokens: createPieceTokens(randomBytes(32).toString('hex')),
    dealNetwork: () => undefined,
    readiness: {},
    metrics: { contentType: 'text/plain', text: async () => '' },
    receiveCar: (input) => receiveCar(receive, input),
    sealAggregate: () => Promise.reject(new Error('nothing is sealed here')),
    addProvider: () => Promise.reject(new Error('nobody provides here')),
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const address = server.server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { port: address.port, [Symbol.asyncDispose]: () => server.close() };
}

function inWords(report: ClientReport): Record<string, unknown> {
  return {
    acknowledged: report.acknowledged,
    per_second: rounded(report.perSecond),
    p50_ms: rounded(report.p50Ms),
    p99_ms: rounded(report.p99Ms),
    first_tenth_per_second: rounded(report.firstTenthPerSecond),
    last_tenth_per_second: rounded(report.lastTenthPerSecond),
    load: loadavg()[0],
  };
}

/** Only receiving, in this thread, beside what each upload would cost by itself. */
async function measureReceiving(folder: string, forMs: number): Promise<Record<string, unknown>> {
  await using embedded = await startEmbedded({ dataDir: folder, log, signal: never });
  await migrate(embedded.url);
  await installJobs(embedded.url);
  await using database = connect(embedded.url);
  await sql`create table bench_uploads (object_key text primary key)`.execute(database.kysely);
  await using jobs = await startJobs({ url: embedded.url, clock, log });
  const store = await openLocalStore(join(folder, 'store'));
  const limits = receiveLimits({ maxUploadBytes: GIB, minFreeBytes: 0n });
  const base = { kysely: database.kysely, store, jobs, clock, log, limits };
  await using grouped = await serve(database, { ...base, groups: new GroupCommit(base) });
  await using alone = await serve(database, base);
  await load({ port: grouped.port, forMs: WARM_MS, seed: 'warm' });
  const oneAfterAnother = await oneByOne(database, store, 1);
  const manyAtOnce = await oneByOne(database, store, CONNECTIONS);
  const without = await load({ port: alone.port, forMs: BASELINE_MS, seed: 'alone' });
  const report = await load({ port: grouped.port, forMs, seed: 'grouped' });
  return {
    ...inWords(report),
    one_by_one_per_second: rounded(oneAfterAnother),
    one_each_64_at_once_per_second: rounded(manyAtOnce),
    without_groups_per_second: rounded(without.perSecond),
    vs_one_by_one: rounded(report.perSecond / oneAfterAnother),
    vs_one_each_64_at_once: rounded(report.perSecond / manyAtOnce),
    vs_without_groups: rounded(report.perSecond / without.perSecond),
  };
}

/** The service as it is started, with all its roles: what is received is stowed and hashed meanwhile. */
async function measureService(
  folder: string,
  order: { forMs: number; count?: number },
): Promise<Record<string, unknown>> {
  const env = { DATA_DIR: folder, API_TOKENS: `bench:upload:${TOKEN}`, LOG_LEVEL: 'silent', PIECE_SIZE: '1GiB' };
  const config = { ...readConfig(env), port: 0 };
  await using service = await startService(config, { log, signal: never });
  const port = Number(new URL(service.url ?? '').port);
  await load({ port, forMs: WARM_MS, seed: 'warm' });
  return inWords(await load({ ...order, port, seed: 'whole' }));
}

/**
 * Acknowledged uploads of 10 KiB a second over 64 connections: server in this thread, client in a worker, PostgreSQL beside
 * them. `receiving`: compared with one fsync and one insert each, one after another and 64 at once, and with the server
 * without groups. `whole`: the whole service; with a count so many uploads, whatever time they take.
 */
export async function benchSmallUploads(
  seconds = '10',
  mode = 'receiving',
  count?: string,
): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-small-'));
  const forMs = Number(seconds) * 1000;
  try {
    await chmod(folder, 0o755);
    const measured =
      mode === 'whole'
        ? await measureService(folder, { forMs, ...(count !== undefined && { count: Number(count) }) })
        : await measureReceiving(folder, forMs);
    return { bench: 'small-uploads', mode, ...measured };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
