import { setTimeout as delay } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { describeError } from '../errors.ts';
import type { SseStream } from '../events/sse-stream.ts';
import type { Log } from '../log/log.ts';

/** What a page may show; it reads again what it shows of a topic that changed. */
type Topic = 'uploads' | 'aggregates' | 'deals' | 'providers' | 'chain' | 'policy' | 'jobs' | 'audit' | 'tokens';

interface LiveDeps {
  kysely: Kysely<DB>;
  log: Pick<Log, 'warn'>;
  /** For tests: less than a second. */
  lookMs?: number;
}

/** One look a second serves all pages, while there is any. */
const LOOK_MS = 1_000;
/** What changes all the time and writes no event, such as jobs and transfers, is told every so many looks. */
const LOOKS_PER_TURN = 5;
const ALWAYS: readonly Topic[] = ['jobs', 'providers', 'deals'];
/** Proxies close what is silent for a minute. */
const LOOKS_PER_HEARTBEAT = 15;
/** A page is of one operator or a screen on a wall. */
const MAX_STREAMS = 500;

/** What tells changes apart: each text differs from the one before when, and only when, something of it changed. */
type Marks = Record<'chain' | 'policy' | 'tokens' | 'providers' | 'audit', string>;

interface Sight extends Marks {
  /** Up to where events were read, in the order in which they become readable. */
  xid: string;
  position: string;
  /** What events came since the look before. */
  uploads: boolean;
  aggregates: boolean;
  deals: boolean;
}

/** More events of one look than this are not looked at one by one. */
const EVENTS_PER_LOOK = 1_000;

/** Ends of indexes, a millisecond: events since the place of the look before, and what has no events of its own. */
async function readSight(db: Kysely<DB>, before: Sight | undefined): Promise<Sight> {
  const from = before && sql`(${before.xid}::xid8, ${before.position}::bigint)`;
  const { rows } = await sql<Sight>`
    with fresh as (
      select upload_id, aggregate_id, deal_id, xid, position from outbox
      where (xid, position) > ${from ?? sql`(pg_snapshot_xmin(pg_current_snapshot()), 0::bigint)`}
      order by xid, position limit ${EVENTS_PER_LOOK}
    ), newest as (select xid, position from fresh order by xid desc, position desc limit 1),
    acts as (select id, action from audit order by id desc limit 50)
    select
      coalesce((select xid from newest), ${before?.xid ?? null}::xid8, pg_snapshot_xmin(pg_current_snapshot()))::text as xid,
      coalesce((select position from newest), ${before?.position ?? '0'}::bigint)::text as position,
      exists (select from fresh where upload_id is not null) as uploads,
      exists (select from fresh where aggregate_id is not null) as aggregates,
      exists (select from fresh where deal_id is not null) as deals,
      coalesce((select concat(epoch, degraded_since, limited) from chain_freshness), '') as chain,
      coalesce((select max(version) from policies), 0)::text as policy,
      coalesce((select max(id) from acts where action like 'token.%'), 0)::text as tokens,
      coalesce((select max(id) from acts where action like 'provider.%'), 0)::text as providers,
      coalesce((select max(id) from acts), 0)::text as audit`.execute(db);
  const [sight] = rows;
  if (sight === undefined) throw new Error('a query without a source gives one row');
  return sight;
}

const MARKS = ['chain', 'policy', 'tokens', 'providers', 'audit'] as const satisfies readonly (keyof Marks)[];
const EVENTS = ['uploads', 'aggregates', 'deals'] as const;

/** Pure: what changed between two looks. */
function changedTopics(before: Sight, after: Sight): Topic[] {
  return [...EVENTS.filter((topic) => after[topic]), ...MARKS.filter((topic) => before[topic] !== after[topic])];
}

/** Tells pages that look of what changes, by topic. It looks only while somebody listens. */
export class LiveChanges {
  readonly #deps: LiveDeps;
  readonly #streams = new Set<SseStream>();
  readonly #closing = new AbortController();
  #looking: Promise<void> | undefined;

  constructor(deps: LiveDeps) {
    this.#deps = deps;
  }

  get isFull(): boolean {
    return this.#streams.size >= MAX_STREAMS;
  }

  add(stream: SseStream): void {
    if (this.#closing.signal.aborted) return stream.end();
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    this.#looking ??= this.#look();
  }

  /** Ends all streams. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
    await this.#looking;
  }

  async #look(): Promise<void> {
    let before: Sight | undefined;
    for (let looks = 1; this.#streams.size > 0 && !this.#closing.signal.aborted; looks += 1) {
      const after = await readSight(this.#deps.kysely, before).catch((error: unknown) => this.#fail(error));
      const changed = before === undefined || after === undefined ? [] : changedTopics(before, after);
      before = after ?? before;
      if (looks % LOOKS_PER_TURN === 0) changed.push(...ALWAYS.filter((topic) => !changed.includes(topic)));
      if (changed.length > 0) this.#tell(`event: change\ndata: ${JSON.stringify({ topics: changed })}\n\n`);
      else if (looks % LOOKS_PER_HEARTBEAT === 0) this.#tell(': heartbeat\n\n');
      await delay(this.#deps.lookMs ?? LOOK_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    // Nothing is awaited after the condition: whoever comes now starts a new look.
    this.#looking = undefined;
  }

  #fail(error: unknown): undefined {
    if (!this.#closing.signal.aborted) this.#deps.log.warn({ err: describeError(error) }, 'dashboard.look_failed');
    return undefined;
  }

  /** Who takes nothing is cut off: its page comes again, and reads all anew. */
  #tell(text: string): void {
    for (const stream of this.#streams) if (!stream.write(text)) stream.cut();
  }
}
