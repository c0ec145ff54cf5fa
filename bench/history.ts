import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql, type Kysely } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { etaActive } from '../src/deals/status/forecast.ts';
import { foldHistory } from '../src/deals/status/history-fold.ts';
import { findHistoryTime, readHistory } from '../src/deals/status/history-of-stages.ts';
import { outlookOf } from '../src/deals/status/remaining-time.ts';
import { silentLog } from '../src/log/log.ts';

const DEALS_PER_AGGREGATE = 5;
const UPLOADS_PER_AGGREGATE = 50;
const DAYS = 100;
const MINUTES = 10;
const ASKED = 100_000;
const never = new AbortController().signal;

/** Aggregates of the last hundred days with all events of theirs, of their deals, and two of each of their uploads. */
async function insertLives(db: Kysely<DB>, aggregates: number): Promise<void> {
  const apart = sql`interval '1 day' * ${DAYS / aggregates}::float8`;
  await sql`insert into providers (id, state, address_source, added_at) select 'f0' || n, 'enabled', 'chain', now()
    from generate_series(0, ${DEALS_PER_AGGREGATE - 1}::int) as n`.execute(db);
  await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
      tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
    select 'sealed', 1000, 100, 1, at, 'age', 'trees/' || n, 27, 'bafyroot', 127, 'baga' || n, 128, at + interval '1 s',
      at + interval '13 h', at + interval '13 h'
    from generate_series(1, ${aggregates}::int) as n, lateral (select now() - ${apart} * (${aggregates}::int - n) as at) as t`.execute(
    db,
  );
  await sql`insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
      proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, created_at, changed_at)
    select gen_random_uuid(), a.id, slot, 0, 'f0' || slot, 1, 'accepted', 'f1client', '\\x00', 'bafy' || a.id || '-' || slot, false, 1, 2,
      0, 0, 1, a.sealed_at, a.sealed_at from aggregates a, generate_series(0, ${DEALS_PER_AGGREGATE - 1}::int) as slot`.execute(
    db,
  );
  await sql`insert into events (at, upload_id, to_state) select a.opened_at, 1, s.state from aggregates a,
    generate_series(1, ${UPLOADS_PER_AGGREGATE}::int), (values ('waiting'), ('stowed')) as s (state)`.execute(db);
  await sql`insert into events (at, aggregate_id, to_state) select a.opened_at + s.after, a.id, s.state from aggregates a,
    (values ('open', interval '0'), ('sealing', interval '12 h'), ('sealed', interval '13 h')) as s (state, after)`.execute(
    db,
  );
  await sql`insert into events (at, deal_id, to_state) select * from (
      select d.created_at + s.after * (0.5 + random()), d.id, s.state from deals d,
      (values ('signed', interval '1 min'), ('sent', interval '2 min'), ('accepted', interval '4 min'),
        ('published', interval '8 h'), ('active', interval '48 h')) as s (state, after)) as told (at) where at < now()`.execute(
    db,
  );
  await sql`vacuum (analyze) aggregates, deals, events`.execute(db);
}

async function timed<T>(act: () => Promise<T> | T): Promise<[ms: number, result: T]> {
  const from = performance.now();
  const result = await act();
  return [Math.round((performance.now() - from) * 10) / 10, result];
}

const worst = (times: readonly number[]) => Math.max(...times);

/** What a minute brings to a busy service: uploads by the thousand, and some changes of deals. */
async function aMinute(db: Kysely<DB>): Promise<void> {
  await sql`insert into events (at, upload_id, to_state) select now(), 1, 'waiting' from generate_series(1, 2000)`.execute(
    db,
  );
  await sql`insert into events (at, deal_id, to_state) select now(), id, 'published' from deals order by id limit 100`.execute(
    db,
  );
}

/** The history of so many deals, five an aggregate: its first folding, and what it costs each minute and each answer. */
export async function benchHistory(size = '100000'): Promise<Record<string, unknown>> {
  const deals = Number(size);
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-history-'));
  try {
    await chmod(folder, 0o755);
    await using server = await startEmbedded({ dataDir: folder, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url);
    const { kysely } = database;
    await kysely.connection().execute(async (held) => {
      await sql`set session_replication_role = replica`.execute(held);
      await sql`set statement_timeout = 0`.execute(held);
      await insertLives(held, deals / DEALS_PER_AGGREGATE);
      await sql`reset all`.execute(held);
    });
    let now = Date.now();
    const clock = { now: () => new Date(now) };
    const steps: number[] = [];
    for (let more = true; more; ) {
      const [ms, isMore] = await timed(() => foldHistory({ kysely, clock }));
      steps.push(ms);
      more = isMore;
    }
    const folds: number[] = [];
    const reads: number[] = [];
    let lives = 0;
    let outlooks: Parameters<typeof etaActive>[0] = new Map();
    for (let minute = 0; minute < MINUTES; minute += 1) {
      await kysely.connection().execute(async (held) => {
        await sql`set session_replication_role = replica`.execute(held);
        await aMinute(held);
        await sql`reset all`.execute(held);
      });
      now += 60_000;
      folds.push((await timed(() => foldHistory({ kysely, clock })))[0]);
      const asOf = (await findHistoryTime(kysely)) ?? clock.now();
      const [ms, history] = await timed(() => readHistory(kysely, asOf));
      reads.push(ms);
      lives = Math.max(...[...history.lives.values()].map(({ length }) => length));
      outlooks = new Map([...history.lives].map(([stage, all]) => [stage, outlookOf(all)]));
    }
    const [askedMs] = await timed(() => {
      for (let at = 0; at < ASKED; at += 1)
        etaActive(outlooks, { stage: 'published', since: new Date(now - (at % 3_000) * 60_000) }, clock.now());
    });
    return {
      bench: 'history',
      deals,
      first: {
        steps: steps.length,
        seconds: Math.round(steps.reduce((sum, ms) => sum + ms, 0) / 100) / 10,
        worstStepMs: worst(steps),
      },
      minute: { foldMs: worst(folds), readMs: worst(reads), livesPerStage: lives },
      answerMicroseconds: Math.round((askedMs / ASKED) * 1_000_000) / 1_000,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
