import type { Kysely } from 'kysely';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { sumStoredBytes } from '../aggregate/keep/quota.ts';
import type { EndpointHealth } from '../chain/endpoint-health.ts';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { findProposing } from '../deals/propose/pause.ts';
import { findWatchStatus } from '../deals/watch/freshness-store.ts';
import { createCounters, type Counters } from './counters.ts';
import { endpointSamples } from './endpoint-samples.ts';
import { chainSamples, figureSamples } from './figure-samples.ts';
import { listFigures, listTotals } from './figure-store.ts';
import { GAUGES, type GaugeName, type Sample } from './gauges.ts';
import { operatorSamples, proposingSamples, readOperatorFigures } from './operator-figures.ts';
import { readStageTimes, stageTimesText } from './stage-times.ts';
import { keep, type KeepRules } from './kept.ts';

/** The metrics of one service: several in one process share nothing. */
export interface Metrics {
  readonly counters: Counters;
  readonly contentType: string;
  /** A function that answers all of them, in the text format of Prometheus. */
  scraper(sources: MetricSources): () => Promise<string>;
}

/** What is read at a scrape. */
export interface MetricSources {
  kysely: Kysely<DB>;
  store: { freeBytes(): Promise<number | undefined> };
  /** DATA_DIR; undefined: nothing is told of it. */
  disk?: { freeBytes(): Promise<number> };
  clock: Clock;
  /** Of the endpoints of the chain; undefined: there is no chain. */
  rpcHealth: (() => EndpointHealth[]) | undefined;
  monotonicMs?: () => number;
}

/** Prometheus scrapes every 15 to 60 s, and gives up after 10. */
const PIPELINE_FRESH_MS = 15_000;
/** Totals are counted row by row. */
const TOTALS_FRESH_MS = 300_000;
const PATIENCE_MS = 4_000;
/** Figures that could not be read anew for so often their time are better absent. */
const GOOD_TIMES = 4;

/** Names begin with `lading_`, those of the process too; apart, so that what Node keeps of them holds no service. */
function processMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'lading_' });
  // Gauges by the names of counters, which promtool refuses; each is the sum of another by type.
  for (const kind of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`lading_nodejs_active_${kind}_total`);
  return registry;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const process = processMetrics();
  const gauges = openGauges(registry);
  const counters = createCounters(registry);
  const write = async (read: () => Promise<Reading>): Promise<string> => {
    const { samples, histograms } = await read();
    for (const gauge of gauges.values()) gauge.reset();
    for (const { name, labels, value } of samples) gauges.get(name)?.set(labels, value);
    // A reader need not know another spelling of what is no number.
    return `${await registry.metrics()}\n${histograms}${await process.metrics()}`.replaceAll(/ Nan$/gm, ' NaN');
  };
  return {
    counters,
    contentType: registry.contentType,
    scraper(sources) {
      const read = createReader(sources);
      let writing: Promise<string> | undefined;
      return () => (writing ??= write(read).finally(() => (writing = undefined)));
    },
  };
}

interface Reading {
  samples: Sample[];
  /** Of the database, as text; empty where it cannot be read. */
  histograms: string;
}

function openGauges(registry: Registry): Map<GaugeName, Gauge> {
  const names = Object.keys(GAUGES) as GaugeName[];
  return new Map(
    names.map((name) => {
      const { help, labels } = GAUGES[name];
      return [name, new Gauge({ name, help, labelNames: [...labels], registers: [registry] })];
    }),
  );
}

/** The database is read at most as often as the rules say, however many scrape. */
function createReader(sources: MetricSources): () => Promise<Reading> {
  const { kysely, store, disk, clock, rpcHealth, monotonicMs = () => performance.now() } = sources;
  const rules = (freshMs: number): KeepRules => ({
    freshMs,
    goodMs: freshMs * GOOD_TIMES,
    patienceMs: PATIENCE_MS,
    monotonicMs,
  });
  const pipeline = keep(
    async () => ({
      figures: await listFigures(kysely, clock.now()),
      chain: await findWatchStatus(kysely, clock),
      proposing: await findProposing(kysely),
    }),
    rules(PIPELINE_FRESH_MS),
  );
  const totals = keep(
    async () => ({ figures: await listTotals(kysely), storedBytes: await sumStoredBytes(kysely) }),
    rules(TOTALS_FRESH_MS),
  );
  // Apart: what costs the most, or a view that is of another version, takes no other figures along.
  const operators = keep(() => readOperatorFigures(kysely), rules(TOTALS_FRESH_MS));
  const stages = keep(() => readStageTimes(kysely), rules(TOTALS_FRESH_MS));
  const free = keep(() => store.freeBytes(), rules(PIPELINE_FRESH_MS));
  const data = keep(async () => disk?.freeBytes(), rules(PIPELINE_FRESH_MS));
  const age = (group: string, readAt: number): Sample => ({
    name: 'lading_figures_age_seconds',
    labels: { group },
    value: (monotonicMs() - readAt) / 1_000,
  });
  return async () => {
    const [work, sums, ops, times, space, room] = await Promise.all([
      pipeline(),
      totals(),
      operators(),
      stages(),
      free(),
      data(),
    ]);
    const now = clock.now();
    const samples = [
      ...endpointSamples(rpcHealth?.() ?? [], now),
      ...(work === undefined ? [] : figureSamples('pipeline', work.value.figures, now)),
      ...(work === undefined || rpcHealth === undefined ? [] : chainSamples(work.value.chain, now)),
      ...(work === undefined ? [] : proposingSamples(work.value.proposing, now)),
      ...(work === undefined ? [] : [age('pipeline', work.readAt)]),
      ...(sums === undefined ? [] : figureSamples('totals', sums.value.figures, now)),
      ...(sums === undefined ? [] : [age('totals', sums.readAt), bytes('lading_store_bytes', sums.value.storedBytes)]),
      ...(ops === undefined ? [] : [...operatorSamples(ops.value), age('operators', ops.readAt)]),
      ...(times === undefined ? [] : [age('stages', times.readAt)]),
      ...(space?.value === undefined ? [] : [bytes('lading_store_free_bytes', space.value)]),
      ...(room?.value === undefined ? [] : [bytes('lading_data_free_bytes', room.value)]),
    ];
    return { samples, histograms: times === undefined ? '' : stageTimesText(times.value) };
  };
}

function bytes(name: GaugeName, value: number | bigint): Sample {
  return { name, labels: {}, value: Number(value) };
}
