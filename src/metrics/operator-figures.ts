import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import type { Proposing } from '../deals/propose/pause.ts';
import { ageSeconds, type GaugeName, type Sample } from './gauges.ts';

/** What the views for operators say of what needs a person: metrics and SQL cannot differ. */
export interface OperatorFigures {
  stuck: { kind: string; level: number; items: number }[];
  /** Active deals that nothing follows, by how many days are left at most. */
  unrenewed: { days: number; deals: number }[];
  funds: { what: string; client: string; free: string; daysLeft: number | null }[];
  ended: { state: string; reason: string; deals: number }[];
}

const STUCK_KINDS = ['upload', 'aggregate', 'deal'];
const STUCK_HOURS = [48, 60, 72];
/** The last is what alerts want; the others show it coming. */
const UNRENEWED_DAYS = [30, 14, 7];
/** Codes are ours, and few; a word that is none stays out of the labels. */
const REASON_CODE = /^[a-z][a-z0-9_]{0,40}$/;
const ATTO_PER_FIL = 1e18;
const DAY_SECONDS = 86_400;

/** Due by the policy, and wanted by somebody: what nobody owns, or is not to be renewed, ends as it should. */
const UNRENEWED = sql`select deal_id, days_left from ops_expiring e where not renewed and renewal_due
  and exists (select from placements p join upload_owners o on o.upload_id = p.upload_id and o.ended_at is null
    where p.aggregate_id = e.aggregate_id)`;

export async function readOperatorFigures(db: Kysely<DB>): Promise<OperatorFigures> {
  const stuck = await sql<OperatorFigures['stuck'][number]>`
    select kind, level::integer as level, count(*)::float8 as items from ops_stuck group by kind, level`.execute(db);
  const unrenewed = await sql<OperatorFigures['unrenewed'][number]>`
    select w.days, count(e.deal_id)::float8 as deals from unnest(${UNRENEWED_DAYS}::integer[]) as w (days)
    left join (${UNRENEWED}) as e on e.days_left <= w.days
    group by w.days`.execute(db);
  const funds = await sql<OperatorFigures['funds'][number]>`
    select what, client, free::text as free, days_left as "daysLeft" from ops_runway where free is not null`.execute(
    db,
  );
  const ended = await sql<OperatorFigures['ended'][number]>`
    select state::text as state, coalesce(reason_code, 'none') as reason, count(*)::float8 as deals from deals
    where state in ('rejected', 'failed', 'abandoned', 'missed', 'slashed', 'expired') group by state, reason`.execute(
    db,
  );
  return { stuck: stuck.rows, unrenewed: unrenewed.rows, funds: funds.rows, ended: ended.rows };
}

function fundSamples({ what, client, free, daysLeft }: OperatorFigures['funds'][number]): Sample[] {
  const isDatacap = what === 'datacap';
  const name: GaugeName = isDatacap ? 'lading_datacap_free_bytes' : 'lading_escrow_free_fil';
  const labels = { client };
  const runway = isDatacap ? 'lading_datacap_runway_seconds' : 'lading_escrow_runway_seconds';
  return [
    { name, labels, value: isDatacap ? Number(free) : Number(free) / ATTO_PER_FIL },
    ...(daysLeft === null ? [] : [{ name: runway, labels, value: daysLeft * DAY_SECONDS } as const]),
  ];
}

/** Pure. An item that is stuck for 72 hours is so for 48 too: each level counts those beyond it. */
export function operatorSamples(figures: OperatorFigures): Sample[] {
  const { stuck, unrenewed, funds, ended } = figures;
  const beyond = (kind: string, hours: number) =>
    stuck.filter((one) => one.kind === kind && one.level >= hours).reduce((sum, { items }) => sum + items, 0);
  const reasons = new Map<string, Sample>();
  for (const { state, reason, deals } of ended) {
    const labels = { state, reason: REASON_CODE.test(reason) ? reason : 'other' };
    const key = `${labels.state} ${labels.reason}`;
    const value = (reasons.get(key)?.value ?? 0) + deals;
    reasons.set(key, { name: 'lading_deals_ended', labels, value });
  }
  return [
    ...STUCK_KINDS.flatMap((kind) =>
      STUCK_HOURS.map((hours) => ({
        name: 'lading_stuck_items' as const,
        labels: { kind, beyond: `${hours}h` },
        value: beyond(kind, hours),
      })),
    ),
    ...UNRENEWED_DAYS.map((days) => ({
      name: 'lading_deals_unrenewed' as const,
      labels: { within: `${days}d` },
      value: unrenewed.find((one) => one.days === days)?.deals ?? 0,
    })),
    ...funds.flatMap(fundSamples),
    ...reasons.values(),
  ];
}

/** Pure. Whether an operator has paused all proposing, and for how long. */
export function proposingSamples({ proposing, since }: Proposing, now: Date): Sample[] {
  const seconds = proposing ? 0 : ageSeconds(since, now);
  return [
    { name: 'lading_proposing_paused', labels: {}, value: proposing ? 0 : 1 },
    { name: 'lading_proposing_paused_seconds', labels: {}, value: seconds },
  ];
}
