import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql, type Kysely } from 'kysely';
import { systemClock as clock } from '../src/clock.ts';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { silentLog as log } from '../src/log/log.ts';
import { actOnAllDue } from '../src/pins/act.ts';
import { openPinCluster } from '../src/pins/cluster/cluster-client.ts';
import { pinTimes } from '../src/pins/decide-pin.ts';
import { lookNext } from '../src/pins/look.ts';
import type { PinDeps } from '../src/pins/pin-stage.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import { insertCheckRows, withoutIndexes } from './check-rows.ts';
import { rounded } from './measure.ts';
import { cpuSeconds } from './service-child.ts';

const CHILD = fileURLToPath(new URL('./pins-child.ts', import.meta.url));
/** The figures of the requirement. */
const SETTLED = 10_000;
const MINUTE_SECONDS = 60;
/** Of the pins one in ten fails, some since a minute and some since a month. */
const FAILED_SHARE = 10;
const FAILED_FOR = '30 days';
const BLOCK_BYTES = 1_024;
const IDLE_ROUNDS = 200;
const never = new AbortController().signal;

/** All pinned or failed, and due over the time in which each is looked at once. */
async function insertPins(db: Kysely<DB>): Promise<void> {
  await db.connection().execute(async (held) => {
    await sql`set statement_timeout = 0`.execute(held);
    await withoutIndexes(held, 'pins', () =>
      sql`insert into pins (upload_id, status, step, due_at, failing_since, error, changed_at)
        select id, 'pinned'::pin_status, 'look'::pin_step, now() + ${pinTimes.pinnedMs} * interval '1 ms' * (0.01 + random()), null::timestamptz, null, now()
        from uploads where id % ${FAILED_SHARE}::int <> 0
        union all
        select id, 'failed', 'look', now() + interval '1 minute' + least(age, interval '1 day') * random(), now() - age, 'pin_error', now()
        from (select id, power(random(), 3) * ${FAILED_FOR}::interval as age from uploads where id % ${FAILED_SHARE}::int = 0) as f`.execute(
        held,
      ),
    );
    await sql`vacuum (analyze) pins`.execute(held);
  });
}

/** What PostgreSQL's processes of this database took. */
async function databaseCpu(db: Kysely<DB>): Promise<number> {
  const { rows } = await sql<{
    pid: number;
  }>`select pid from pg_stat_activity where datname = current_database()`.execute(db);
  const seconds = await Promise.all(rows.map(({ pid }) => cpuSeconds(pid)));
  return seconds.reduce((sum, each) => sum + each, 0);
}

/** Seconds by the clock, and of CPU here and in PostgreSQL. */
async function timed(db: Kysely<DB>, run: () => Promise<void>) {
  const databaseBefore = await databaseCpu(db);
  const before = process.cpuUsage();
  const begun = performance.now();
  await run();
  const seconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(before);
  return { seconds, cpu: (user + system) / 1e6, database: (await databaseCpu(db)) - databaseBefore };
}

type Timed = Awaited<ReturnType<typeof timed>>;

/** What 10,000 a minute take of one core. */
function figures({ seconds, cpu, database }: Timed) {
  return {
    per_minute: Math.round((SETTLED / seconds) * MINUTE_SECONDS),
    core_share: rounded(cpu / MINUTE_SECONDS),
    database_core_share: rounded(database / MINUTE_SECONDS),
  };
}

async function lookAtAll(deps: PinDeps): Promise<void> {
  for (let more = true; more; ) more = await lookNext(deps, never);
}

async function makeDue(db: Kysely<DB>): Promise<void> {
  await sql`update pins set status = 'pinning', due_at = now() - interval '1 s' where upload_id in (
    select upload_id from pins where status = 'pinned' order by upload_id desc limit ${SETTLED})`.execute(db);
}

/** New uploads of one block each, all in one object. */
async function insertSmallUploads(
  deps: PinDeps & { store: Awaited<ReturnType<typeof openLocalStore>> },
): Promise<void> {
  const sections: Buffer[] = [];
  const roots: string[] = [];
  const { CID } = await import('multiformats/cid');
  const { create } = await import('multiformats/hashes/digest');
  const { encodeSectionHead } = await import('../src/filecoin/car.ts');
  for (let at = 0; at < SETTLED; at += 1) {
    const block = Buffer.alloc(BLOCK_BYTES, `block ${at} `);
    const cid = CID.createV1(0x55, create(0x12, createHash('sha256').update(block).digest()));
    sections.push(Buffer.concat([encodeSectionHead(cid, block.length), block]));
    roots.push(cid.toString());
  }
  const staged = await deps.store.stage('runs/bench');
  for (const section of sections) await staged.write(section);
  await staged.commit();
  const length = sections[0]?.length ?? 0;
  await sql`with made as (
      insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
      select root, 'waiting', ${length}::int, ${BLOCK_BYTES}::int, 1, now(), now() from unnest(${roots}::text[]) as root
      returning id, root
    ), stored as (
      insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, run_seq, created_at)
      select id, 'runs/bench', (place - 1) * ${length}::int, ${length}::int, 1, 0, now()
      from made join unnest(${roots}::text[]) with ordinality as g (root, place) using (root)
    ) insert into pins (upload_id, status, step, due_at, changed_at) select id, 'queued', 'give', now(), now() from made`.execute(
    deps.db,
  );
}

async function measure(deps: Parameters<typeof insertSmallUploads>[0]) {
  const { db } = deps;
  const idle = await timed(db, async () => {
    for (let round = 0; round < IDLE_ROUNDS; round += 1) await lookNext(deps, never);
  });
  const { rows } = await sql<{
    failed: bigint;
    due: bigint;
  }>`select count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'failed' and due_at < now() + interval '10 minutes') as due from pins`.execute(db);
  // Warms the code up.
  await makeDue(db);
  await lookAtAll(deps);
  await makeDue(db);
  const looked = await timed(db, () => lookAtAll(deps));
  await insertSmallUploads(deps);
  const given = await timed(db, async () => {
    await actOnAllDue(deps, never);
    await sql`update pins set due_at = now() where step = 'look' and status = 'pinning'`.execute(db);
    await lookAtAll(deps);
  });
  const { rows: left } = await sql<{
    left: bigint;
  }>`select count(*) as left from pins where status not in ('pinned', 'failed')`.execute(db);
  return {
    idle_look_ms: rounded((idle.seconds / IDLE_ROUNDS) * 1_000),
    failed: Number(rows[0]?.failed),
    failed_due_in_ten_minutes: Number(rows[0]?.due),
    looked: figures(looked),
    given: figures(given),
    left: Number(left[0]?.left),
  };
}

async function ask(child: ChildProcess): Promise<Record<string, number>> {
  child.send('tell');
  const [told] = (await once(child, 'message')) as [Record<string, number>];
  return told;
}

/** A million uploads with their pins: what a look with nothing due takes, and what 10,000 that are settled. */
export async function benchPins(uploads = '1000000'): Promise<Record<string, unknown>> {
  const [load = 0] = loadavg();
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-'));
  await chmod(folder, 0o755);
  const child = fork(CHILD);
  try {
    const [{ url }] = (await once(child, 'message')) as [{ url: string }];
    const dataDir = join(folder, 'postgres');
    await mkdir(dataDir);
    await using server = await startEmbedded({ dataDir, log, signal: never });
    await migrate(server.url);
    await using database = connect(server.url, { maxConnections: 10 });
    const db = database.kysely;
    await insertCheckRows(db, Number(uploads));
    await insertPins(db);
    console.error('the rows are there');
    using cluster = openPinCluster({ url, authorization: undefined });
    const store = await openLocalStore(join(folder, 'store'));
    const jobs = { send: async () => undefined };
    const rules = { times: pinTimes, random: Math.random };
    const measured = await measure({ db, store, jobs, clock, log, cluster, rules });
    const { asked, mostCids } = await ask(child);
    return { bench: 'pins', load: rounded(load), uploads: Number(uploads), ...measured, asked, most_cids: mostCids };
  } finally {
    child.kill();
    await rm(folder, { recursive: true, force: true });
  }
}
