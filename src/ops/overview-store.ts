import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { readRows } from './read-rows.ts';
import { reports } from './report-rows.ts';

export type StuckLevel = '48' | '60' | '72';
type StuckKind = 'upload' | 'aggregate' | 'deal';

/** More rows of one view in one overview would be a list: these have a row a state, a queue or a client. */
const MOST = 200;
/** 30 days. */
const EXPIRING_EPOCHS = 30n * 2_880n;

async function countStuck(kysely: Kysely<DB>) {
  const { rows } = await sql<{ kind: StuckKind; level: number; items: number; since: Date }>`
    select kind, level, count(*)::integer as items, min(since) as since from ops_stuck group by kind, level`.execute(
    kysely,
  );
  const none = (): Record<StuckLevel, number> => ({ '48': 0, '60': 0, '72': 0 });
  const counts = { upload: none(), aggregate: none(), deal: none() };
  for (const { kind, level, items } of rows) counts[kind][String(level) as StuckLevel] = items;
  return { counts, rows };
}

async function countTransfers(kysely: Kysely<DB>) {
  const { rows } = await sql<{ not_begun: number; moving: number; still: number }>`
    select (count(*) filter (where state = 'not_begun'))::integer as not_begun,
      (count(*) filter (where state = 'moving'))::integer as moving,
      (count(*) filter (where state = 'still'))::integer as still from ops_transfers`.execute(kysely);
  const [found] = rows;
  return { notBegun: found?.not_begun ?? 0, moving: found?.moving ?? 0, still: found?.still ?? 0 };
}

async function countProviders(kysely: Kysely<DB>) {
  const { rows } = await sql<{ standing: string; items: number }>`
    select case when state = 'enabled' and retry_at > now() then 'resting' else state::text end as standing,
      count(*)::integer as items from providers group by 1`.execute(kysely);
  const of = (standing: string) => rows.find((row) => row.standing === standing)?.items ?? 0;
  return { enabled: of('enabled'), resting: of('resting'), paused: of('paused'), removed: of('removed') };
}

async function countExpiring(kysely: Kysely<DB>) {
  // A number, and no query within the query: so the planner knows how few these deals are.
  const seen = await kysely.selectFrom('chain_freshness').select('epoch').executeTakeFirst();
  const until = (seen?.epoch ?? 0n) + EXPIRING_EPOCHS;
  const { rows } = await sql<{ within: number; unrenewed: number }>`
    select count(*)::integer as within, (count(*) filter (where not renewed))::integer as unrenewed
    from ops_expiring where end_epoch <= ${until}`.execute(kysely);
  const { within = 0, unrenewed = 0 } = rows[0] ?? {};
  return { within30Days: within, unrenewed };
}

async function findPolicy(kysely: Kysely<DB>) {
  return kysely
    .selectFrom('policies')
    .select(['version', 'proposing', 'replicas', 'created_at'])
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
}

/** What moves all the time. */
export async function readPipeline(kysely: Kysely<DB>) {
  return {
    funnel: await readRows(kysely, reports.funnel, MOST),
    dealsByState: await readRows(kysely, reports['deals-by-state'], MOST),
    transfers: await countTransfers(kysely),
    providers: await countProviders(kysely),
    policy: await findPolicy(kysely),
  };
}

/** How the service itself does. */
export async function readMachine(kysely: Kysely<DB>) {
  const [chain] = await readRows(kysely, reports.chain, 1);
  const [outbox] = await readRows(kysely, reports.outbox, 1);
  const [store] = await readRows(kysely, reports.store, 1);
  const jobs = await readRows(kysely, reports.jobs, MOST);
  if (chain === undefined || outbox === undefined || store === undefined) throw new Error('a view of one row has none');
  return { chain, outbox, store, jobs };
}

/** What is a matter of hours. */
export async function readStuck(kysely: Kysely<DB>) {
  return { stuck: await countStuck(kysely) };
}

/** What is a matter of days. */
export async function readOutlook(kysely: Kysely<DB>) {
  return { expiring: await countExpiring(kysely), runway: await readRows(kysely, reports.runway, MOST) };
}

/** All in one moment of the database. */
export async function inOneMoment<T>(kysely: Kysely<DB>, read: (trx: Kysely<DB>) => Promise<T>) {
  return kysely
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const { rows } = await sql<{ now: Date }>`select now() as now`.execute(trx);
      return { at: rows[0]?.now ?? new Date(0), value: await read(trx) };
    });
}

export type Pipeline = Awaited<ReturnType<typeof readPipeline>>;
export type Machine = Awaited<ReturnType<typeof readMachine>>;
export type Stuck = Awaited<ReturnType<typeof readStuck>>;
export type Outlook = Awaited<ReturnType<typeof readOutlook>>;
