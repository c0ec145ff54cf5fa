/** What GET /ops/overview and GET /ops/{report} answer, as far as the overview shows it. */

export interface FunnelRow {
  stage: string;
  uploads: number;
  aggregates: number | null;
  bytes: number | null;
  oldestAt: string | null;
}

export interface Attention {
  level: 'alarm' | 'warning' | 'note';
  code: string;
  items: number;
  since: string | null;
  text: string;
  page: string;
}

export type StuckCounts = Record<'48' | '60' | '72', number>;

export interface RunwayRow {
  what: string;
  client: string;
  at: string;
  free: string;
  reserved: string;
  perDay: string;
  daysLeft: number | null;
}

export interface DealsByStateRow {
  state: string;
  deals: number;
  bytes: number;
  oldestAt: string | null;
}

export interface Overview {
  asOf: string;
  funnel: FunnelRow[];
  dealsByState: DealsByStateRow[];
  stuck: Record<'upload' | 'aggregate' | 'deal', StuckCounts>;
  transfers: { notBegun: number; moving: number; still: number };
  providers: { enabled: number; resting: number; paused: number; removed: number };
  expiring: { within30Days: number; unrenewed: number };
  runway: RunwayRow[];
  chain: { asOf: string | null; epoch: number | null; degradedReason: string | null };
  store: { storedBytes: number; keptAggregates: number; releasedAggregates: number; damagedRanges: number };
  policy: { version: number; proposing: boolean; replicas: number };
  attention: Attention[];
}

export interface Report<Row> {
  asOf: string;
  rows: Row[];
  more: boolean;
}

export interface DailyRow {
  day: string;
  sealed: number;
  sealedBytes: number;
  published: number;
  active: number;
}

export interface PercentilesRow {
  week: string;
  step: string;
  p50Seconds: number;
  p95Seconds: number;
}
