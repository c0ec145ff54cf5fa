import { describe, expect, it } from 'vitest';
import { attentionOf } from '../../src/ops/attention.ts';

const NOW = new Date('2026-03-01T12:00:00Z');
const before = (minutes: number) => new Date(NOW.getTime() - minutes * 60_000);
const at = (minutes: number) => before(minutes).toISOString();

type Figures = Parameters<typeof attentionOf>[0];

const levels = { '48': 0, '60': 0, '72': 0 };
const quiet: Figures = {
  funnel: [],
  dealsByState: [],
  transfers: { notBegun: 0, moving: 3, still: 0 },
  providers: { enabled: 2, resting: 0, paused: 1, removed: 0 },
  policy: { version: 3, proposing: true, replicas: 10, created_at: before(600) },
  chain: {
    asOf: at(1),
    epoch: 100,
    finalizedEpoch: 90,
    ageSeconds: 60,
    lookedAt: at(1),
    degradedSince: null,
    degradedReason: null,
    limited: null,
    openDifferences: 0,
  },
  outbox: {
    newestPosition: 7,
    newestAt: at(1),
    heldBack: 3,
    heldSeconds: 5,
    webhooks: 1,
    webhooksFailing: 0,
    backlogEvents: 0,
    deadLetters: 0,
    oldestDeadAt: null,
    historyAsOf: at(1),
  },
  store: {
    storedBytes: 1,
    keptAggregates: 1,
    keptBytes: 1,
    releasedAggregates: 0,
    releasedBytes: 0,
    damagedRanges: 0,
    damagedBytes: 0,
    oldestDamageAt: null,
    scrubPassEndedAt: null,
  },
  jobs: [{ queue: 'propose', state: 'waiting', jobs: 5, oldestAt: at(10), oldestSeconds: 600 }],
  stuck: { counts: { upload: levels, aggregate: levels, deal: levels }, rows: [] },
  expiring: { within30Days: 4, unrenewed: 0 },
  runway: [
    {
      what: 'datacap',
      client: 'f1client',
      at: at(1),
      epoch: 100,
      free: '10',
      reserved: '0',
      spent: '0',
      perDay: '0',
      daysLeft: null,
    },
  ],
};

const found = (change: Partial<Figures>) =>
  attentionOf({ ...quiet, ...change }, NOW).map(({ level, code, items }) => `${level} ${code} ${items}`);
const withDays = (daysLeft: number | null) => ({ runway: quiet.runway.map((row) => ({ ...row, daysLeft })) });

describe('what needs somebody', () => {
  it('is nothing while all goes well', () => {
    expect(attentionOf(quiet, NOW)).toEqual([]);
  });

  const cases: [string, Partial<Figures>, string[]][] = [
    [
      'a chain away for a moment',
      { chain: { ...quiet.chain, degradedSince: at(9), degradedReason: 'x' } },
      ['warning chain_degraded 1'],
    ],
    [
      'a chain away for long',
      { chain: { ...quiet.chain, degradedSince: at(10), degradedReason: 'x' } },
      ['alarm chain_degraded 1'],
    ],
    ['differences', { chain: { ...quiet.chain, openDifferences: 2 } }, ['alarm chain_differences 2']],
    ['a limited node', { chain: { ...quiet.chain, limited: 'x' } }, ['note chain_limited 1']],
    ['DataCap for a month', withDays(30), []],
    ['DataCap for less', withDays(29.9), ['warning datacap_runway 1']],
    ['DataCap for two weeks', withDays(14), ['warning datacap_runway 1']],
    ['DataCap for less than that', withDays(13.9), ['alarm datacap_runway 1']],
    ['no DataCap', withDays(0), ['alarm datacap_runway 1']],
    ['ends without successors', { expiring: { within30Days: 4, unrenewed: 3 } }, ['warning expiring_unrenewed 3']],
    ['a pause', { policy: { ...quiet.policy, proposing: false } }, ['warning proposing_paused 1']],
    ['nobody to ask', { providers: { enabled: 0, resting: 2, paused: 1, removed: 0 } }, ['alarm no_providers 1']],
    ['transfers that stand still', { transfers: { notBegun: 0, moving: 0, still: 2 } }, ['note transfers_still 2']],
    [
      'jobs given up',
      { jobs: [{ queue: 'send', state: 'failed', jobs: 2, oldestAt: at(1), oldestSeconds: 60 }] },
      ['alarm jobs_failed 2'],
    ],
    [
      'jobs without a worker',
      { jobs: [{ queue: 'send', state: 'waiting', jobs: 2, oldestAt: at(16), oldestSeconds: 960 }] },
      ['warning jobs_waiting 2'],
    ],
    [
      'jobs for later',
      { jobs: [{ queue: 'send', state: 'deferred', jobs: 2, oldestAt: at(16), oldestSeconds: 960 }] },
      [],
    ],
    ['dead letters', { outbox: { ...quiet.outbox, deadLetters: 4, oldestDeadAt: at(1) } }, ['warning dead_letters 4']],
    ['failing webhooks', { outbox: { ...quiet.outbox, webhooksFailing: 1 } }, ['note webhooks_failing 1']],
    ['a forgotten transaction', { outbox: { ...quiet.outbox, heldSeconds: 121 } }, ['warning events_held_back 3']],
    ['damage', { store: { ...quiet.store, damagedRanges: 1, oldestDamageAt: at(1) } }, ['alarm store_damage 1']],
  ];
  it.each(cases)('%s', (_, change, expected) => expect(found(change)).toEqual(expected));

  it('comes by level, and then what has been so for longest', () => {
    const rows = [
      { kind: 'upload', level: 48, items: 5, since: before(3_000) },
      { kind: 'aggregate', level: 72, items: 1, since: before(5_000) },
      { kind: 'deal', level: 60, items: 2, since: before(3_700) },
    ] as const;
    const change = {
      stuck: { ...quiet.stuck, rows: [...rows] },
      chain: { ...quiet.chain, degradedSince: at(6_000), degradedReason: 'x', openDifferences: 1 },
    };
    expect(found(change)).toEqual([
      'alarm chain_degraded 1',
      'alarm stuck_aggregates_72h 1',
      'alarm chain_differences 1',
      'warning stuck_deals_60h 2',
      'note stuck_uploads_48h 5',
    ]);
  });

  it('names a page of the dashboard, and says it in words', () => {
    const change = { providers: { enabled: 0, resting: 2, paused: 1, removed: 0 }, ...withDays(1.9) };
    const [first, second] = attentionOf({ ...quiet, ...change }, NOW);
    expect(first).toMatchObject({
      page: '/dashboard/policy',
      text: 'DataCap of f1client lasts for 1 day more',
      since: null,
    });
    expect(second).toMatchObject({
      page: '/dashboard/providers',
      text: 'No provider can be proposed to: 2 rest after failures, 1 are paused',
    });
  });
});
