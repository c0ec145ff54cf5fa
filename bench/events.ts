import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { silentLog } from '../src/log/log.ts';
import { insertCheckRows, rootOf } from './check-rows.ts';
import { Delays, openReader, startReceiver } from './events-load.ts';
import { rounded } from './measure.ts';
import { startServiceChild, type ServiceChild } from './service-child.ts';

/** The figures of the requirement. */
const SUBSCRIBERS = 1_000;
const SUBSCRIBERS_PER_CHANGE = 10;
const CHANGES_PER_SECOND = 200;
/** Uploads somebody follows, each in an aggregate of 500. */
const FOLLOWED = SUBSCRIBERS / SUBSCRIBERS_PER_CHANGE;
const UPLOADS_PER_AGGREGATE = 500;
const UPLOADS = FOLLOWED * UPLOADS_PER_AGGREGATE;
/** Of 500 deals: half a million events. */
const PAST_PER_DEAL = 1_000;
const TICKS_PER_SECOND = 20;
const ALL_CAME_MS = 10_000;
const TOKEN = 'bench-token-of-ops';
const never = new AbortController().signal;

/** One in each aggregate. */
function followedRoot(at: number): string {
  return rootOf(at * UPLOADS_PER_AGGREGATE + (at % UPLOADS_PER_AGGREGATE));
}

/** Changes of deals at a steady rate, each of one aggregate, so of 500 uploads of which one is followed. */
async function writeChanges(db: Kysely<DB>, seconds: number): Promise<number> {
  const { rows } = await sql<{ id: string }>`select min(id::text) as id from deals where state = 'active'
    group by aggregate_id order by aggregate_id`.execute(db);
  const perTick = CHANGES_PER_SECOND / TICKS_PER_SECOND;
  const begun = performance.now();
  let written = 0;
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick += 1) {
    await delay(Math.max(0, begun + (tick * 1_000) / TICKS_PER_SECOND - performance.now()));
    const values = Array.from({ length: perTick }, () => {
      const deal = rows[written % rows.length]?.id ?? '';
      written += 1;
      return { at: new Date(), deal_id: deal, from_state: 'active', to_state: 'active', detail: String(Date.now()) };
    });
    // One transaction each, as the stages write them.
    await Promise.all(values.map((value) => db.insertInto('events').values(value).execute()));
  }
  return written;
}

/** A service that has run for a while: what happened before stands in the way of no look at what is new. */
async function insertPast(db: Kysely<DB>): Promise<void> {
  await sql`insert into events (at, deal_id, from_state, to_state)
    select now(), id, 'published', 'active' from deals, generate_series(1, ${PAST_PER_DEAL}::int)`.execute(db);
  await sql`vacuum (analyze) events`.execute(db);
}

async function register(service: ServiceChild, url: string): Promise<void> {
  const cid = Array.from({ length: FOLLOWED }, (_, at) => followedRoot(at));
  const response = await fetch(`${service.url}/webhooks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url, cid, kind: 'deal' }),
  });
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
}

async function untilAllCame(delays: Delays, expected: number): Promise<void> {
  const deadline = performance.now() + ALL_CAME_MS;
  while (delays.values.length < expected && performance.now() < deadline) await delay(50);
}

/** Subscribers and webhooks at once, on one service with its own PostgreSQL beside it. */
async function measure(service: ServiceChild, db: Kysely<DB>, seconds: number) {
  const [sse, fast, dead] = [new Delays(), new Delays(), new Delays()];
  await using receiver = await startReceiver((change) => fast.take(change));
  await using silent = await startReceiver((change) => dead.take(change), true);
  const idle = await service.rssMib();
  await register(service, silent.url);
  await register(service, receiver.url);
  const readers: (() => void)[] = [];
  for (let at = 0; at < SUBSCRIBERS; at += 1) {
    const url = `${service.url}/events?cid=${followedRoot(at % FOLLOWED)}`;
    readers.push(await openReader(url, TOKEN, (data) => sse.take(data)));
  }
  const cpuBefore = await service.cpuSeconds();
  const changes = await writeChanges(db, seconds);
  await Promise.all([untilAllCame(sse, changes * SUBSCRIBERS_PER_CHANGE), untilAllCame(fast, changes)]);
  const cpuShare = ((await service.cpuSeconds()) - cpuBefore) / seconds;
  const { peak } = await service.rssMib();
  for (const end of readers) end();
  const figures = (delays: Delays) => ({ p50_ms: delays.quantile(0.5), p99_ms: delays.quantile(0.99) });
  return {
    changes,
    sse: {
      subscribers: SUBSCRIBERS,
      delivered: sse.values.length,
      due: changes * SUBSCRIBERS_PER_CHANGE,
      ...figures(sse),
    },
    webhook: {
      delivered: fast.ids.size,
      twice: fast.values.length - fast.ids.size,
      due: changes,
      calls: receiver.calls,
      ...figures(fast),
    },
    dead_receiver: { calls: silent.calls },
    rss_idle_mib: rounded(idle.now),
    rss_peak_mib: rounded(peak),
    service_cores: rounded(cpuShare),
  };
}

/** 1,000 subscribers of one upload each, 200 changes a second, each for 10 of them; webhooks with all of them beside a dead one. */
export async function benchEvents(seconds = '15'): Promise<Record<string, unknown>> {
  const [load = 0] = loadavg();
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-'));
  await chmod(folder, 0o755);
  try {
    const dataDir = join(folder, 'postgres');
    await mkdir(dataDir);
    await using server = await startEmbedded({ dataDir, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url, { maxConnections: 20 });
    await insertCheckRows(database.kysely, UPLOADS);
    await insertPast(database.kysely);
    await using service = await startServiceChild(folder, {
      DATABASE_URL: server.url,
      TOKEN_SECRET: 'a secret of at least 32 characters',
      API_TOKENS: `bench:ops:${TOKEN}`,
      LADING_WEBHOOK_ALLOW_PRIVATE: 'true',
      ROLES: 'api',
    });
    return { bench: 'events', load: rounded(load), ...(await measure(service, database.kysely, Number(seconds))) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
