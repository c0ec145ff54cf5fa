import type { WatchStatus } from '../deals/watch/freshness-store.ts';
import { QUEUE_NAMES } from '../jobs/job-queues.ts';
import type { Figure } from './figure-store.ts';
import { ageSeconds, type GaugeName, type Sample } from './gauges.ts';

interface Family {
  label: string;
  items: GaugeName;
  bytes?: GaugeName;
  age?: GaugeName;
  /** Every state that there is: those without rows are 0. */
  states: readonly string[];
}

/** States that a scrape reads anew, and those whose totals are read less often. */
type Group = 'pipeline' | 'totals';

const UPLOADS = {
  label: 'state',
  items: 'lading_uploads',
  bytes: 'lading_upload_bytes',
  age: 'lading_uploads_oldest_age_seconds',
} as const;
const DEALS = {
  label: 'state',
  items: 'lading_deals',
  bytes: 'lading_deal_bytes',
  age: 'lading_deals_oldest_age_seconds',
} as const;

const FAMILIES: Record<Group, Partial<Record<Figure['what'], Family>>> = {
  pipeline: {
    upload: { ...UPLOADS, states: ['incomplete', 'waiting'] },
    aggregate: {
      label: 'stage',
      items: 'lading_aggregates',
      bytes: 'lading_aggregate_bytes',
      age: 'lading_aggregates_oldest_age_seconds',
      states: ['open', 'sealing', 'sealed', 'active', 'released'],
    },
    deal: { ...DEALS, states: ['signed', 'sent', 'accepted', 'published'] },
    transfer: { label: 'state', items: 'lading_transfers', states: ['not_begun', 'moving', 'still'] },
    provider: { label: 'state', items: 'lading_providers', states: ['enabled', 'resting', 'paused', 'removed'] },
    webhook: { label: 'state', items: 'lading_webhooks', states: ['well', 'failing'] },
    pull: {
      label: 'state',
      items: 'lading_pulls',
      age: 'lading_pulls_oldest_age_seconds',
      states: ['waiting', 'failing'],
    },
    pin_request: {
      label: 'state',
      items: 'lading_pin_requests',
      age: 'lading_pin_requests_oldest_age_seconds',
      states: ['queued', 'pinning'],
    },
    difference: {
      label: 'kind',
      items: 'lading_chain_differences',
      states: ['untold', 'absent', 'another_proposal', 'nodes_disagree'],
    },
  },
  totals: {
    upload: { ...UPLOADS, states: ['stowed', 'failed', 'removed'] },
    pin: {
      label: 'state',
      items: 'lading_pins',
      age: 'lading_pins_oldest_age_seconds',
      states: ['queued', 'pinning', 'pinned', 'failed'],
    },
    deal: { ...DEALS, states: ['active', 'expired', 'slashed', 'missed', 'rejected', 'failed', 'abandoned'] },
  },
};

/** Nothing waits in these, so that no age means anything. */
const AT_REST: ReadonlySet<string> = new Set(['active', 'released', 'pinned']);
const JOB_STATES: Record<Group, readonly string[]> = {
  pipeline: ['waiting', 'deferred', 'retry', 'active'],
  totals: ['failed'],
};

function familySamples(what: string, family: Family, { figures, now }: { figures: readonly Figure[]; now: Date }) {
  const { label, items, bytes, age } = family;
  return family.states.flatMap((state): Sample[] => {
    const figure = figures.find((one) => one.what === what && one.label === state);
    const labels = { [label]: state };
    const hasBytes = figure === undefined ? state !== 'incomplete' : figure.bytes !== null;
    const oldest = AT_REST.has(state) ? null : figure?.oldest;
    return [
      { name: items, labels, value: figure?.items ?? 0 },
      ...(bytes !== undefined && hasBytes ? [{ name: bytes, labels, value: figure?.bytes ?? 0 }] : []),
      ...(age !== undefined && oldest ? [{ name: age, labels, value: ageSeconds(oldest, now) }] : []),
    ];
  });
}

function jobSamples(figures: readonly Figure[], states: readonly string[], now: Date): Sample[] {
  return QUEUE_NAMES.flatMap((queue) =>
    states.flatMap((state): Sample[] => {
      const figure = figures.find((one) => one.what === 'job' && one.label === queue && one.state === state);
      const labels = { queue, state };
      const count: Sample = { name: 'lading_jobs', labels, value: figure?.items ?? 0 };
      // What is due later is no older for it.
      if (!figure?.oldest || state === 'deferred') return [count];
      return [count, { name: 'lading_jobs_oldest_age_seconds', labels, value: ageSeconds(figure.oldest, now) }];
    }),
  );
}

function singleSamples(figures: readonly Figure[], now: Date): Sample[] {
  const find = (what: Figure['what'], label?: string) =>
    figures.find((one) => one.what === what && (label === undefined || one.label === label));
  const failingSince = find('webhook', 'failing')?.oldest;
  const clusterSince = find('pin_cluster')?.oldest;
  const finalized = find('epoch', 'finalized');
  const none = {};
  return [
    { name: 'lading_webhook_backlog_events', labels: none, value: find('backlog')?.items ?? 0 },
    { name: 'lading_webhook_dead_letters', labels: none, value: find('dead_letter')?.items ?? 0 },
    { name: 'lading_damaged_ranges', labels: none, value: find('damage')?.items ?? 0 },
    { name: 'lading_damaged_bytes', labels: none, value: find('damage')?.bytes ?? 0 },
    {
      name: 'lading_webhooks_oldest_failing_seconds',
      labels: none,
      value: failingSince ? ageSeconds(failingSince, now) : 0,
    },
    {
      name: 'lading_pin_cluster_failing_seconds',
      labels: none,
      value: clusterSince ? ageSeconds(clusterSince, now) : 0,
    },
    ...(finalized === undefined
      ? []
      : [{ name: 'lading_chain_finalized_epoch' as const, labels: none, value: finalized.items }]),
  ];
}

/** Pure: what rows of one group come to. */
export function figureSamples(group: Group, figures: readonly Figure[], now: Date): Sample[] {
  const families = Object.entries(FAMILIES[group]);
  return [
    ...families.flatMap(([what, family]) => familySamples(what, family, { figures, now })),
    ...jobSamples(figures, JOB_STATES[group], now),
    ...(group === 'pipeline' ? singleSamples(figures, now) : []),
  ];
}

/** Read from top to bottom, of the words that freshness keeps for everybody. */
const REASONS: readonly (readonly [string, RegExp])[] = [
  ['disagree', /disagree|differ/i],
  ['not_final', /was final|finality/i],
  ['ahead', /by the clock|from the future/i],
  ['behind', /is behind|no new tipset/i],
  ['nobody_watches', /no process has read/i],
  ['wrong_chain', /genesis/i],
  ['unreachable', /no answer|unreachable|ECONN|ENOTFOUND|EHOST|connection|cut off|HTTP|RPC|JSON|at the node/i],
];
const REASON_NAMES = [...REASONS.map(([name]) => name), 'other'];

function reasonClass(reason: string): string {
  return REASONS.find(([, words]) => words.test(reason))?.[0] ?? 'other';
}

/** Pure: how fresh our view of the chain is. */
export function chainSamples({ asOf, epoch, degraded, limited }: WatchStatus, now: Date): Sample[] {
  const reason = degraded && reasonClass(degraded.reason);
  const one = (name: GaugeName, value: number | undefined): Sample[] =>
    value === undefined ? [] : [{ name, labels: {}, value }];
  return [
    ...one('lading_chain_epoch', epoch),
    ...one('lading_chain_age_seconds', asOf && ageSeconds(asOf, now)),
    ...one('lading_chain_degraded_seconds', degraded ? ageSeconds(degraded.since, now) : 0),
    ...one('lading_chain_limited', limited === undefined ? 0 : 1),
    ...REASON_NAMES.map((name) => ({
      name: 'lading_chain_degraded' as const,
      labels: { reason: name },
      value: name === reason ? 1 : 0,
    })),
  ];
}
