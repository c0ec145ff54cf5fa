import { Type, type TProperties, type TSchema } from 'typebox';

/** Columns of the views ops_* as they are answered: names in camelCase, times as text, bytes as numbers, money as text. */
const count = Type.Integer();
const ratio = Type.Number();
const time = Type.String();
const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const text = (example: string) => Type.String({ examples: [example] });
const amount = (example = '250000000000000') => Type.String({ pattern: '^-?[0-9]+$', examples: [example] });
/** Asked as text: the driver would make local midnight of it. */
const date = Type.String({ format: 'date', examples: ['2026-03-02'] });

const CLIENT = 'f1client3xw4y5oeoxycuwijzr5kxyx4k6ylvxo2q';
const PIECE = 'baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq';

export const funnelRow = {
  stage: text('waiting'),
  place: count,
  uploads: count,
  aggregates: orNull(count),
  bytes: orNull(count),
  oldestAt: orNull(time),
  oldestSeconds: orNull(ratio),
};
export const dealsByStateRow = {
  state: text('active'),
  place: count,
  deals: count,
  bytes: count,
  oldestAt: orNull(time),
  oldestSeconds: orNull(ratio),
};
export const runwayRow = {
  what: text('datacap'),
  client: text(CLIENT),
  at: time,
  epoch: count,
  free: amount(),
  reserved: amount(),
  spent: amount(),
  perDay: amount(),
  daysLeft: orNull(ratio),
};
export const jobsRow = {
  queue: text('propose'),
  state: text('waiting'),
  jobs: count,
  oldestAt: orNull(time),
  oldestSeconds: orNull(ratio),
};
export const outboxRow = {
  newestPosition: orNull(count),
  newestAt: orNull(time),
  heldBack: count,
  heldSeconds: orNull(ratio),
  webhooks: count,
  webhooksFailing: count,
  backlogEvents: count,
  deadLetters: count,
  oldestDeadAt: orNull(time),
  historyAsOf: orNull(Type.String({ examples: ['2026-03-01T12:30:00.123000+00:00'] })),
};
export const chainRow = {
  asOf: orNull(time),
  epoch: orNull(count),
  finalizedEpoch: orNull(count),
  ageSeconds: orNull(ratio),
  lookedAt: orNull(time),
  degradedSince: orNull(Type.String({ examples: ['2026-03-01T12:30:00.123000+00:00'] })),
  degradedReason: orNull(text('no node answers')),
  limited: orNull(text('no node keeps events')),
  openDifferences: count,
};
export const storeRow = {
  storedBytes: count,
  keptAggregates: count,
  keptBytes: count,
  releasedAggregates: count,
  releasedBytes: count,
  damagedRanges: count,
  damagedBytes: count,
  oldestDamageAt: orNull(time),
  scrubPassEndedAt: orNull(time),
};
const uploadsByStateRow = { state: text('stowed'), uploads: count, bytes: count };
const dailyRow = {
  day: date,
  sealed: count,
  sealedUploads: count,
  sealedBytes: count,
  published: count,
  active: count,
};
const timePercentilesRow = {
  week: date,
  step: text('active'),
  aggregates: count,
  p50Seconds: ratio,
  p95Seconds: ratio,
  maxSeconds: ratio,
};
const stuckRow = {
  kind: text('aggregate'),
  id: text('1042'),
  name: text(PIECE),
  stage: text('sealed'),
  since: time,
  hours: ratio,
  level: count,
  uploads: count,
  bytes: orNull(count),
  providerId: orNull(text('f01234')),
  why: text('nobody to propose to: price 4'),
};
const dealsByProviderRow = {
  providerId: text('f01234'),
  state: text('rejected'),
  reasonCode: orNull(text('price_too_low')),
  deals: count,
  bytes: count,
  firstAt: time,
  lastAt: time,
  lastChangedAt: time,
  example: orNull(text('storage price per epoch less than asking price')),
};
const providersRow = {
  providerId: text('f01234'),
  state: text('enabled'),
  standing: text('resting'),
  org: orNull(text('Example Storage')),
  region: orNull(text('EU')),
  agent: orNull(text('boost-2.4.0')),
  transport: orNull(text('libp2p')),
  seenAt: orNull(time),
  retryAt: orNull(time),
  failures: count,
  resolveError: orNull(text('no addresses on chain')),
  askPrice: orNull(amount('0')),
  askVerifiedPrice: orNull(amount('0')),
  askAt: orNull(time),
  activeDeals: count,
  activeBytes: count,
  inFlightDeals: count,
  inFlightBytes: count,
  proposalsHour: count,
  successes: count,
  refusals: count,
  faults: count,
  successShare: orNull(ratio),
  score: ratio,
  lastOutcomeAt: orNull(time),
  publishedP50Seconds: orNull(ratio),
  activeP50Seconds: orNull(ratio),
};
const transfersRow = {
  dealId: text('0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90'),
  providerId: text('f01234'),
  aggregateId: count,
  pieceCid: text(PIECE),
  carBytes: count,
  state: text('moving'),
  servedBytes: count,
  coveredShare: ratio,
  begunAt: orNull(time),
  movedAt: orNull(time),
  bytesPerSecond: orNull(ratio),
  sinceSeconds: ratio,
  callOffAt: time,
};
const expiringRow = {
  dealId: text('0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90'),
  aggregateId: count,
  pieceCid: text(PIECE),
  pieceBytes: count,
  providerId: text('f01234'),
  chainDealId: count,
  endEpoch: count,
  endAt: orNull(time),
  daysLeft: orNull(ratio),
  renewalDue: orNull(Type.Boolean()),
  renewed: Type.Boolean(),
};
const noTakersRow = { code: text('price'), aggregates: count, providers: count, lastAt: time };
const jobFaultsRow = {
  jobId: text('0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90'),
  queue: text('propose'),
  state: text('retry'),
  tries: count,
  dueAt: orNull(time),
  subject: Type.Unknown(),
  error: orNull(text('no answer within 30 s')),
};
const webhooksRow = {
  webhookId: text('0d7a5c1e-8f0b-4b6a-9a3c-2f6d1e5b7c90'),
  owner: text('upload-service'),
  state: text('well'),
  attempts: count,
  failingSince: orNull(Type.String({ examples: ['2026-03-01T12:30:00.123000+00:00'] })),
  deliveredAt: orNull(time),
  nextAttemptAt: time,
  backlogEvents: count,
  deadLetters: count,
  oldestDeadAt: orNull(time),
};

export interface Report {
  view: string;
  /** What it answers. */
  summary: string;
  row: TProperties;
  /** In SQL; the worst first. */
  order: string;
}

/** What `GET /ops/{report}` answers, by its name. */
export const reports = {
  funnel: { view: 'ops_funnel', summary: 'Where everything is, by stage', row: funnelRow, order: 'place' },
  'uploads-by-state': {
    view: 'ops_uploads_by_state',
    summary: 'Uploads by state',
    row: uploadsByStateRow,
    order: 'state',
  },
  daily: { view: 'ops_daily', summary: 'What was done on each day', row: dailyRow, order: 'day desc' },
  'time-percentiles': {
    view: 'ops_time_percentiles',
    summary: 'How long things take, by week',
    row: timePercentilesRow,
    order: 'week desc, step',
  },
  stuck: { view: 'ops_stuck', summary: 'What does not move', row: stuckRow, order: 'since, id' },
  'deals-by-state': {
    view: 'ops_deals_by_state',
    summary: 'Deals by state',
    row: dealsByStateRow,
    order: 'place',
  },
  'deals-by-provider': {
    view: 'ops_deals_by_provider',
    summary: 'Deals by provider, state and reason',
    row: dealsByProviderRow,
    order: 'last_changed_at desc, provider_id',
  },
  providers: {
    view: 'ops_providers',
    summary: 'The scoreboard of providers',
    row: providersRow,
    order: 'score desc, provider_id',
  },
  transfers: {
    view: 'ops_transfers',
    summary: 'Pieces that providers fetch, or should',
    row: transfersRow,
    order: 'call_off_at, deal_id',
  },
  expiring: {
    view: 'ops_expiring',
    summary: 'Active deals by their end',
    row: expiringRow,
    order: 'end_epoch, deal_id',
  },
  runway: { view: 'ops_runway', summary: 'How long money lasts', row: runwayRow, order: 'days_left, client, what' },
  'no-takers': {
    view: 'ops_no_takers',
    summary: 'Why aggregates find no provider',
    row: noTakersRow,
    order: 'aggregates desc, code',
  },
  chain: { view: 'ops_chain', summary: 'How fresh the view of the chain is', row: chainRow, order: 'as_of' },
  jobs: { view: 'ops_jobs', summary: 'Jobs by queue and state', row: jobsRow, order: 'queue, state' },
  'job-faults': {
    view: 'ops_job_faults',
    summary: 'Jobs that are tried again, or were given up',
    row: jobFaultsRow,
    order: 'tries desc, job_id',
  },
  outbox: { view: 'ops_outbox', summary: 'Whether changes get out', row: outboxRow, order: 'newest_position' },
  webhooks: {
    view: 'ops_webhooks',
    summary: 'How the calls of webhooks go',
    row: webhooksRow,
    order: 'failing_since, backlog_events desc, webhook_id',
  },
  store: { view: 'ops_store', summary: 'What lies in the store', row: storeRow, order: 'stored_bytes' },
} as const satisfies Record<string, Report>;

export type ReportName = keyof typeof reports;
export const reportNames = Object.keys(reports) as ReportName[];
