import { sql } from 'kysely';
import type { EndpointHealth } from '../../src/chain/endpoint-health.ts';
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts';
import { uploadAll } from '../api/call.ts';
import { apiFixture, type ApiFixture } from '../support/api-fixture.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

const GIB = 1024 ** 3;
export const HEAD = 3_000_000;
export const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);

/** What a scrape sees beside the database. */
export interface Surroundings {
  endpoint: Pick<EndpointHealth, 'state' | 'standing'>;
  storeGib: number;
  dataGib: number;
  databaseIsGone: boolean;
}

/** A service's database and metrics in which all is well: an upload waits, another's deal is active, and the chain was read a minute ago. */
export interface AlertWorld extends AsyncDisposable {
  fixture: ApiFixture;
  kysely: ApiFixture['kysely'];
  metrics: Metrics;
  aggregateId: bigint;
  around: Surroundings;
  /** The text of /metrics, all of it read anew. */
  scrape(): Promise<string>;
}

export async function alertWorld(): Promise<AlertWorld> {
  const fixture = await apiFixture();
  const { kysely, store } = fixture;
  const [placed = '', waiting = ''] = await uploadAll(fixture, ['placed', 'waiting']);
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: [placed] });
  await sql`update aggregates set oldest_accepted_at = now(), opened_at = now(), sealed_at = now()`.execute(kysely);
  await sql`update uploads set changed_at = now() where root = ${waiting}`.execute(kysely);
  await seedDeal(kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'active', changedAt: new Date() });
  await sql`update deals set start_epoch = 2_000_000, end_epoch = ${HEAD + 400 * 2_880}`.execute(kysely);
  await sql`insert into aggregate_times (aggregate_id, closed_at, signed_at, accepted_at, published_at, active_at)
    values (${aggregateId}, now(), now(), now(), now(), now())`.execute(kysely);
  await sql`insert into chain_freshness (as_of, epoch, looked_at) values (${hoursAgo(1 / 60)}, ${HEAD}, now())`.execute(
    kysely,
  );
  const around: Surroundings = {
    endpoint: { state: 'well', standing: 'agrees' },
    storeGib: 1_024,
    dataGib: 100,
    databaseIsGone: false,
  };
  const metrics = createMetrics();
  const gone = new Proxy(kysely, {
    get: () => {
      throw new Error('gone');
    },
  });
  const scrape = () =>
    metrics.scraper({
      kysely: around.databaseIsGone ? gone : kysely,
      store: { freeBytes: async () => around.storeGib * GIB },
      disk: { freeBytes: async () => around.dataGib * GIB },
      clock: { now: () => new Date() },
      rpcHealth: () => [
        {
          host: 'node:1234',
          since: hoursAgo(1),
          lastFault: undefined,
          latencyMs: 20,
          height: HEAD,
          lagEpochs: 0,
          ...around.endpoint,
        },
      ],
    })();
  return {
    fixture,
    kysely,
    metrics,
    aggregateId,
    around,
    scrape,
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}
