import type { Machine, Outlook, Pipeline, Stuck } from './overview-store.ts';
import { formatOffsetTime } from '../deals/status/time-format.ts';

export interface Attention {
  /** alarm: somebody has to act now; warning: soon; note: it is good to know. */
  level: 'alarm' | 'warning' | 'note';
  code: string;
  items: number;
  since: string | null;
  text: string;
  /** Where the dashboard shows it. */
  page: string;
}

type Figures = Pipeline & Machine & Stuck & Outlook;
type Found = Omit<Attention, 'since'> & { since?: string | null | undefined };

/** A node or a database that was away for less is back before anybody has looked. */
const CHAIN_ALARM_SECONDS = 600;
const RUNWAY_ALARM_DAYS = 14;
const RUNWAY_WARNING_DAYS = 30;
/** A job that is due waits for a worker for seconds; this long means that there is none. */
const JOB_WAIT_SECONDS = 900;
/** An open transaction that holds back all events for longer was forgotten by somebody. */
const HELD_SECONDS = 120;

const LEVELS = ['alarm', 'warning', 'note'] as const;

const many = (count: number, one: string, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

function ofChain({ chain }: Figures, now: Date): Found[] {
  const { degradedSince, degradedReason, openDifferences, limited } = chain;
  const page = '/dashboard/chain';
  const found: Found[] = [];
  if (degradedSince !== null) {
    const isLong = now.getTime() - Date.parse(degradedSince) >= CHAIN_ALARM_SECONDS * 1_000;
    const text = `The chain cannot be read or believed: ${degradedReason ?? ''}`;
    found.push({
      level: isLong ? 'alarm' : 'warning',
      code: 'chain_degraded',
      items: 1,
      since: degradedSince,
      text,
      page,
    });
  }
  if (openDifferences > 0) {
    const text = `${many(openDifferences, 'deal')} on chain ${openDifferences === 1 ? 'is' : 'are'} not as we know ${openDifferences === 1 ? 'it' : 'them'}`;
    found.push({ level: 'alarm', code: 'chain_differences', items: openDifferences, text, page });
  }
  if (limited !== null) found.push({ level: 'note', code: 'chain_limited', items: 1, text: limited, page });
  return found;
}

const STUCK_LEVELS = { '72': 'alarm', '60': 'warning', '48': 'note' } as const;
const STUCK_PAGES = { upload: '/dashboard/uploads', aggregate: '/dashboard/aggregates', deal: '/dashboard/deals' };

function ofStuck({ stuck }: Figures): Found[] {
  return stuck.rows.map(({ kind, level, items, since }) => ({
    level: STUCK_LEVELS[String(level) as keyof typeof STUCK_LEVELS],
    code: `stuck_${kind}s_${level}h`,
    items,
    since: formatOffsetTime(since, 'microseconds'),
    text: `${many(items, kind)} did not move on for more than ${level} hours`,
    page: STUCK_PAGES[kind],
  }));
}

function ofMoney({ runway, expiring }: Figures): Found[] {
  const short = runway.filter(({ daysLeft }) => daysLeft !== null && daysLeft < RUNWAY_WARNING_DAYS);
  const found: Found[] = short.map(({ what, daysLeft, client }) => ({
    level: (daysLeft ?? 0) < RUNWAY_ALARM_DAYS ? 'alarm' : 'warning',
    code: `${what}_runway`,
    items: 1,
    text: `${what === 'datacap' ? 'DataCap' : 'The market balance'} of ${client} lasts for ${many(Math.floor(daysLeft ?? 0), 'day')} more`,
    page: '/dashboard/policy',
  }));
  const { unrenewed } = expiring;
  if (unrenewed === 0) return found;
  const text = `${many(unrenewed, 'active deal')} of the next 30 days ${unrenewed === 1 ? 'ends' : 'end'} with no successor`;
  const page = '/dashboard/deals?expiring=30d';
  return [...found, { level: 'warning', code: 'expiring_unrenewed', items: unrenewed, text, page }];
}

function ofProposing({ policy, providers, transfers }: Figures): Found[] {
  const found: Found[] = [];
  if (!policy.proposing) {
    const since = formatOffsetTime(policy.created_at, 'microseconds');
    const text = 'Nothing is proposed: the policy has paused it';
    found.push({ level: 'warning', code: 'proposing_paused', items: 1, since, text, page: '/dashboard/policy' });
  }
  if (providers.enabled === 0) {
    const text = `No provider can be proposed to: ${providers.resting} rest after failures, ${providers.paused} are paused`;
    found.push({ level: 'alarm', code: 'no_providers', items: 1, text, page: '/dashboard/providers' });
  }
  if (transfers.still > 0) {
    const text = `${many(transfers.still, 'transfer')} stood still for 10 minutes`;
    found.push({
      level: 'note',
      code: 'transfers_still',
      items: transfers.still,
      text,
      page: '/dashboard/deals?state=accepted',
    });
  }
  return found;
}

function ofMachine({ jobs, outbox, store }: Figures): Found[] {
  const page = '/dashboard/jobs';
  const found: Found[] = [];
  for (const { queue, state, jobs: items, oldestAt: since, oldestSeconds } of jobs) {
    if (state === 'failed')
      found.push({
        level: 'alarm',
        code: 'jobs_failed',
        items,
        since,
        text: `${many(items, 'job')} of ${queue} gave up`,
        page,
      });
    if (state === 'waiting' && (oldestSeconds ?? 0) > JOB_WAIT_SECONDS) {
      const text = `${many(items, 'job')} of ${queue} ${items === 1 ? 'waits' : 'wait'} for a worker`;
      found.push({ level: 'warning', code: 'jobs_waiting', items, since, text, page });
    }
  }
  const { deadLetters, oldestDeadAt, webhooksFailing, heldSeconds, heldBack } = outbox;
  if (deadLetters > 0) {
    const text = `${many(deadLetters, 'call')} of webhooks could not be delivered and ${deadLetters === 1 ? 'was' : 'were'} given up`;
    found.push({ level: 'warning', code: 'dead_letters', items: deadLetters, since: oldestDeadAt, text, page });
  }
  if (webhooksFailing > 0) {
    const text = `${many(webhooksFailing, 'webhook')} cannot be called at the moment`;
    found.push({ level: 'note', code: 'webhooks_failing', items: webhooksFailing, text, page });
  }
  if (heldBack > 0 && (heldSeconds ?? 0) > HELD_SECONDS) {
    const text = 'An open transaction keeps changes from being told';
    found.push({ level: 'warning', code: 'events_held_back', items: heldBack, text, page });
  }
  if (store.damagedRanges > 0) {
    const text = `${many(store.damagedRanges, 'range')} of stored bytes ${store.damagedRanges === 1 ? 'is' : 'are'} damaged`;
    const { damagedRanges: items, oldestDamageAt: since } = store;
    found.push({ level: 'alarm', code: 'store_damage', items, since, text, page: '/dashboard/aggregates' });
  }
  return found;
}

/** Pure: what needs somebody, in the order in which to look at it: by level, then what has been so for longest. */
export function attentionOf(figures: Figures, now: Date): Attention[] {
  const found = [
    ...ofChain(figures, now),
    ...ofStuck(figures),
    ...ofMoney(figures),
    ...ofProposing(figures),
    ...ofMachine(figures),
  ];
  const age = ({ since }: Attention) => (since === null ? now.getTime() : Date.parse(since));
  return found
    .map((one) => ({ ...one, since: one.since ?? null }))
    .toSorted((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) || age(a) - age(b));
}
