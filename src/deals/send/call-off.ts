import { sql, type Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import { EPOCH_SECONDS } from '../../filecoin/networks.ts';
import { moveDeal } from '../move-deal.ts';
import { noteFailure } from '../providers/provider-store.ts';
import { backOffMs, PROVIDER_BACK_OFF } from './back-off.ts';
import { HAS_BYTES } from './status-store.ts';
import { SERVED_RANGE_BYTES } from './transfer-store.ts';

export interface CallOffDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  log: Log;
}

/** Looked at in one round; the next one comes a minute later. */
const ROUND = 200;

interface Stalled {
  id: string;
  aggregateId: bigint;
  provider: string;
  failures: number;
  begun: boolean;
  /** It moves, but at its pace it ends after the deal's start. */
  tooSlow: boolean;
  waitSeconds: number;
}

/** Any deal by which the provider of `d` had, or may have, all bytes of the piece: then `d` could still be published. */
const everHeld = sql<boolean>`exists (
  select from deals o join aggregates oa on oa.id = o.aggregate_id left join transfers ot on ot.deal_id = o.id
  where o.provider_id = d.provider_id and oa.piece_cid = a.piece_cid and (
    o.offline or o.chain_deal_id is not null or o.said_publish_message is not null
    or split_part(o.said_status, ':', 1) in (${sql.join(HAS_BYTES)})
    or bit_count(ot.served) >= ceil(oa.car_bytes / ${SERVED_RANGE_BYTES}::numeric)
    or exists (select from events e where e.deal_id = o.id and e.to_state = 'published')
    or (o.id <> d.id and o.state in ('signed', 'sent', 'accepted'))
  ))`;

const limit = sql<number>`(select call_off_after_seconds from policies order by version desc limit 1)`;

/**
 * A transfer that was watched for as long as the policy allows, and whose rest takes longer at its pace than there is time
 * until the deal's start: the provider could only publish too late. Bytes that were sent twice count as two.
 */
function isTooSlow(now: Date) {
  return sql<boolean>`coalesce(t.begun_at + ${limit} * interval '1 second' <= ${now}::timestamptz and (
    select (${now}::timestamptz - t.begun_at) * ((a.car_bytes - t.served_bytes)::float8 / nullif(t.served_bytes, 0))
      > (d.start_epoch - f.epoch) * ${EPOCH_SECONDS} * interval '1 second' - (${now}::timestamptz - f.as_of)
    from chain_freshness f), false)`;
}

/**
 * Accepted deals whose transfer stands still for as long as the policy in force allows, or is too slow, unless they cannot
 * be called off.
 */
function stalledQuery(db: Kysely<DB>, now: Date, options: { anyWait?: boolean } = {}) {
  const isStill = sql<boolean>`greatest(d.changed_at, t.moved_at) + ${limit} * interval '1 second' <= ${now}::timestamptz`;
  return db
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .innerJoin('providers as p', 'p.id', 'd.provider_id')
    .leftJoin('transfers as t', 't.deal_id', 'd.id')
    .select(['d.id', 'd.aggregate_id', 'd.provider_id', 'p.failures', limit.as('wait_seconds')])
    .select([sql<boolean>`t.deal_id is not null`.as('begun'), sql<boolean>`not ${isStill}`.as('moves')])
    .where('d.state', '=', 'accepted')
    .where('d.offline', '=', false)
    .where('d.called_off_at', 'is', null)
    .$if(options.anyWait !== true, (query) => query.where((eb) => eb.or([isStill, isTooSlow(now)])))
    .where((eb) => eb.not(everHeld));
}

type Row = Awaited<ReturnType<ReturnType<typeof stalledQuery>['execute']>>[number];

function toStalled(row: Row): Stalled {
  return {
    id: row.id,
    aggregateId: row.aggregate_id,
    provider: row.provider_id,
    failures: row.failures,
    begun: row.begun,
    tooSlow: row.moves,
    waitSeconds: row.wait_seconds,
  };
}

function reasonOf({ begun, tooSlow, waitSeconds }: Stalled): { code: string; text: string } {
  if (tooSlow) {
    const text = 'its transfer is so slow that it would end after the start of the deal, so it was called off';
    return { code: 'transfer_too_slow', text };
  }
  const what = begun ? 'its transfer has not moved' : 'its provider has not begun to fetch the piece';
  return { code: 'transfer_stalled', text: `${what} for ${waitSeconds} s, so it was called off` };
}

/** A person calls it off: at once, however short the wait was, and not to the provider's discredit. */
export interface ByHand {
  text: string;
  /** Written in the same transaction. */
  alongside: (trx: Kysely<DB>) => Promise<void>;
}

/**
 * Calls one deal off, if that is still right once its row is held: whatever range is served from then on is not. Held
 * are all deals of the provider for the aggregate, as what another of them is served counts.
 */
export async function callOff(
  { db, jobs, clock, random }: Omit<CallOffDeps, 'log'> & Partial<CallOffDeps>,
  id: string,
  byHand?: ByHand,
): Promise<boolean> {
  const at = clock.now();
  return await db.transaction().execute(async (trx) => {
    await sql`select o.id from deals o join deals d on d.aggregate_id = o.aggregate_id and d.provider_id = o.provider_id
      where d.id = ${id} order by o.id for no key update of o`.execute(trx);
    const row = await stalledQuery(trx, at, { anyWait: byHand !== undefined })
      .where('d.id', '=', id)
      .executeTakeFirst();
    if (row === undefined) return false;
    const stalled = toStalled(row);
    const columns = { called_off_at: at };
    const reason = byHand === undefined ? reasonOf(stalled) : { code: 'called_off', text: byHand.text };
    if (!(await moveDeal(trx, { id, from: 'accepted', to: 'abandoned', at, columns, reason }))) return false;
    await byHand?.alongside(trx);
    const waitMs = backOffMs(PROVIDER_BACK_OFF, stalled.failures + 1, random());
    if (byHand === undefined) await noteFailure(trx, stalled.provider, new Date(at.getTime() + waitMs));
    await jobs.send(trx, 'propose', { aggregateId: stalled.aggregateId.toString() });
    return true;
  });
}

/**
 * Calls off every accepted deal whose transfer was never begun, stands still, or cannot end in time: its piece token stops working, and its
 * slot is free for another provider, in one transaction. What it reserved stays reserved until its start is final. True:
 * there may be more.
 */
export async function callOffStalled(deps: CallOffDeps): Promise<boolean> {
  const rows = await stalledQuery(deps.db, deps.clock.now()).orderBy('d.changed_at').limit(ROUND).execute();
  let calledOff = 0;
  for (const row of rows) {
    if (!(await callOff(deps, row.id))) continue;
    calledOff += 1;
    const stalled = toStalled(row);
    deps.log.warn({ dealId: row.id, provider: row.provider_id, ...reasonOf(stalled) }, 'deal.called_off');
  }
  return calledOff === ROUND;
}
