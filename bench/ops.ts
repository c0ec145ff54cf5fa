import { readFile, chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { installJobs } from '../src/jobs/jobs.ts';
import { silentLog } from '../src/log/log.ts';
import { createFigures } from '../src/ops/figures.ts';
import { inOneMoment, readMachine, readOutlook, readPipeline, readStuck } from '../src/ops/overview-store.ts';
import { insertCheckRows } from './check-rows.ts';
import { median, rounded } from './measure.ts';
import { insertOpsRows } from './ops-rows.ts';

const DEFAULT_UPLOADS = 1_000_000;
const SMALLEST = 100_000;
const STEP = 1_000;
const VIEW_LIMIT_MS = 1_000;
const OVERVIEW_LIMIT_MS = 50;
const ROUNDS = 5;
/** The kernel counts CPU time in hundredths of a second. */
const TICK_MS = 10;
const REFRESHES = 40;
const LOOKERS = 100;
const LOOK_MS = 11_000;
const never = new AbortController().signal;

interface Plan {
  Plan: { 'Actual Rows': number };
  'Planning Time': number;
  'Execution Time': number;
}

interface ViewFigures {
  view: string;
  rows: number;
  ms: number;
  worstMs: number;
}

/** All of the view but ops_uploads, which has a row for each upload and is asked for the newest. */
async function measureView(kysely: Kysely<DB>, view: string): Promise<ViewFigures> {
  const part = view === 'ops_uploads' ? sql` order by created_at desc limit 100` : sql``;
  const times: number[] = [];
  let rows = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const { rows: answer } = await sql<{ 'QUERY PLAN': Plan[] }>`
      explain (analyze, timing off, format json) select * from ${sql.table(view)}${part}`.execute(kysely);
    const plan = answer[0]?.['QUERY PLAN'][0];
    if (plan === undefined) throw new Error(`${view} has no plan`);
    times.push(plan['Planning Time'] + plan['Execution Time']);
    rows = plan.Plan['Actual Rows'];
  }
  return { view, rows, ms: rounded(median(times)), worstMs: rounded(Math.max(...times)) };
}

async function measureViews(kysely: Kysely<DB>): Promise<ViewFigures[]> {
  const { rows } = await sql<{ view: string }>`
    select viewname as view from pg_views where viewname like ${'ops\\_%'} order by 1`.execute(kysely);
  const found: ViewFigures[] = [];
  for (const { view } of rows) found.push(await measureView(kysely, view));
  return found;
}

/** CPU time of one process of the server, in ms. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** What one refresh of a group costs: by the clock, and in CPU time of the one backend that does it all. */
async function measureRefresh(kysely: Kysely<DB>, read: (trx: Kysely<DB>) => Promise<unknown>) {
  return kysely.connection().execute(async (held) => {
    await sql`set max_parallel_workers_per_gather = 0`.execute(held);
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(held);
    const pid = rows[0]?.pid ?? 0;
    await inOneMoment(held, read);
    const before = await cpuMs(pid);
    const times: number[] = [];
    for (let at = 0; at < REFRESHES; at += 1) {
      const start = performance.now();
      await inOneMoment(held, read);
      times.push(performance.now() - start);
    }
    const cpu = ((await cpuMs(pid)) - before) / REFRESHES;
    await sql`reset max_parallel_workers_per_gather`.execute(held);
    return { ms: rounded(median(times)), cpuMs: rounded(cpu) };
  });
}

/** Many look at the overview, each again as soon as it was answered: how often is the database asked? */
async function countRefreshes(kysely: Kysely<DB>): Promise<{ looks: number; readings: number }> {
  const figures = createFigures({ kysely });
  const commits = async () => {
    await delay(1_100);
    const { rows } = await sql<{ commits: string }>`
      select xact_commit::text as commits from pg_stat_database where datname = current_database()`.execute(kysely);
    return Number(rows[0]?.commits ?? 0);
  };
  const before = await commits();
  const until = performance.now() + LOOK_MS;
  let looks = 0;
  const look = async () => {
    while (performance.now() < until) {
      await figures.overview();
      looks += 1;
      await delay(10);
    }
  };
  await Promise.all(Array.from({ length: LOOKERS }, look));
  return { looks, readings: (await commits()) - before };
}

async function measureAll(uploads: number) {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-ops-'));
  try {
    await chmod(folder, 0o755);
    const dataDir = join(folder, 'data');
    await mkdir(dataDir);
    await using server = await startEmbedded({ dataDir, log: silentLog, signal: never });
    await migrate(server.url);
    await installJobs(server.url);
    const start = performance.now();
    await using database = connect(server.url);
    const { kysely } = database;
    await insertCheckRows(kysely, uploads);
    await insertOpsRows(kysely);
    const loadSeconds = Math.round((performance.now() - start) / 1_000);
    const views = await measureViews(kysely);
    const groups = {
      pipeline: await measureRefresh(kysely, readPipeline),
      machine: await measureRefresh(kysely, readMachine),
      stuck: await measureRefresh(kysely, readStuck),
      outlook: await measureRefresh(kysely, readOutlook),
    };
    return { loadSeconds, views, groups, looked: await countRefreshes(kysely) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * `ops [uploads]`: every view `ops_*` asked whole over so many uploads, an aggregate for each 500 of them and five deals for each aggregate,
 * with trouble at hand; what a refresh of the overview costs the database, and how often a hundred who look cause one.
 * 10 M uploads take 8 GB of disk, and some minutes to load.
 */
export async function benchOps(size = String(DEFAULT_UPLOADS)): Promise<Record<string, unknown>> {
  const uploads = Number(size);
  if (!Number.isSafeInteger(uploads) || uploads < SMALLEST || uploads % STEP !== 0)
    throw new Error(`give a number of uploads from ${SMALLEST}, in thousands`);
  const { loadSeconds, views, groups, looked } = await measureAll(uploads);
  console.log(`Views over ${uploads} uploads (loaded in ${loadSeconds} s), load ${loadavg()[0]}`);
  for (const { view, rows, ms, worstMs } of views)
    console.log(`  ${view.padEnd(22)} ${ms} ms (worst of ${ROUNDS}: ${worstMs} ms), ${rows} rows`);
  for (const [name, { ms, cpuMs: cpu }] of Object.entries(groups))
    console.log(`  overview, ${name.padEnd(12)} ${ms} ms a refresh, ${cpu} ms of CPU time`);
  console.log(`  ${LOOKERS} who look ${looked.looks} times in ${LOOK_MS / 1_000} s: ${looked.readings} transactions`);
  const slowest = Math.max(...views.map(({ ms }) => ms));
  const allAtOnce = Object.values(groups).reduce((sum, { cpuMs: cpu }) => sum + cpu, 0);
  const dearest = Math.max(...Object.values(groups).map(({ cpuMs: cpu }) => cpu));
  const ratios = {
    slowest_view_to_limit: rounded(slowest / VIEW_LIMIT_MS),
    dearest_refresh_to_limit: rounded(dearest / OVERVIEW_LIMIT_MS),
    all_refreshes_to_limit: rounded(allAtOnce / OVERVIEW_LIMIT_MS),
  };
  return { bench: 'ops', uploads, ratios, views, groups, looked };
}
