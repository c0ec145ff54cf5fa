import { sql } from 'kysely';
import { countStore } from '../../src/metrics/count-store.ts';
import { call, uploadAll } from '../api/call.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { HEAD, hoursAgo, type AlertWorld } from './alert-world.ts';

/** One world, brought close to an alert, and then beyond: first nothing fires, then these and no other. */
export interface AlertCase {
  alerts: string[];
  close(world: AlertWorld): Promise<unknown>;
  beyond(world: AlertWorld): Promise<unknown>;
  /** Gauges that go on as they changed between the last two scrapes. */
  growing?: string[];
}

const OTHER_PIECE = 'baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq';

const ageUploads = (hours: number) => (world: AlertWorld) =>
  sql`update uploads set changed_at = ${hoursAgo(hours)} where state = 'waiting'`.execute(world.kysely);

const stuckCase = (alerts: string[], close: number, beyond: number): AlertCase => ({
  alerts,
  close: ageUploads(close),
  beyond: ageUploads(beyond),
});

const endsIn = (days: number) => (world: AlertWorld) =>
  sql`update deals set end_epoch = ${HEAD + days * 2_880}`.execute(world.kysely);

const chainRead = (minutes: number) => (world: AlertWorld) =>
  sql`update chain_freshness set as_of = ${hoursAgo(minutes / 60)}`.execute(world.kysely);

const degraded = (minutes: number) => (world: AlertWorld) =>
  sql`update chain_freshness set degraded_since = ${hoursAgo(minutes / 60)}, degraded_reason = 'no node answers'`.execute(
    world.kysely,
  );

const pausedFor = (hours: number) => (world: AlertWorld) =>
  sql`update policies set created_at = ${hoursAgo(hours)}`.execute(world.kysely);

/** An aggregate of which no deal was ever active, and one deal with this state. */
async function sealedAnew(world: AlertWorld, state: 'accepted' | 'rejected', provider = 'f01001') {
  const { kysely, fixture } = world;
  const roots = await uploadAll(fixture, ['sealed anew']);
  const { id } = await seedAggregate(kysely, fixture.store, { roots, pieceCid: OTHER_PIECE });
  await sql`update aggregates set oldest_accepted_at = now(), opened_at = now(), sealed_at = now() where id = ${id}`.execute(
    kysely,
  );
  return await seedDeal(kysely, { aggregateId: id, slot: 0, provider, state, changedAt: new Date() });
}

const transferMoves = (dealId: string, movedAt: Date) => (world: AlertWorld) =>
  sql`insert into transfers (deal_id, served, served_bytes, begun_at, moved_at)
    values (${dealId}, '\\x00', 1, ${movedAt}, ${movedAt})`.execute(world.kysely);

const job = (state: 'created' | 'retry' | 'failed', minutes: number) => (world: AlertWorld) =>
  sql`insert into pgboss.job (name, data, state, start_after, completed_on)
    values ('send', '{"dealId":"a"}', ${state}::pgboss.job_state, ${hoursAgo(minutes / 60)},
      ${state === 'failed' ? new Date() : null})`.execute(world.kysely);

async function webhook(world: AlertWorld, failingHours: number) {
  const since = hoursAgo(failingHours);
  await sql`delete from webhooks`.execute(world.kysely);
  await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index, attempts,
      failing_since, failing_to, last_error)
    values ('00000000-0000-4000-8000-0000000000aa', 'service', 'https://example.com/hook', '{}', now(), '3',
      (select max(position) from events), 0, 9, ${since}, 'refused', 'it answered 500')`.execute(world.kysely);
}

const deadLetter = (world: AlertWorld) =>
  sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position, to_index,
      first_change, changes, attempts, error, failing_since, died_at)
    values ('00000000-0000-4000-8000-0000000000aa', '3', 1, 0, '3', 2, 0, '1-0', 1, 9, 'it answered 500', now(), now())`.execute(
    world.kysely,
  );

const pinned = (status: string, hours: number) => (world: AlertWorld) =>
  sql`insert into pins (upload_id, status, step, due_at, failing_since, error, changed_at)
    select id, ${status}::pin_status, 'look', now(), ${status === 'failed' ? new Date() : null}::timestamptz,
      ${status === 'failed' ? 'no space' : null}::text, ${hoursAgo(hours)} from uploads where state = 'stowed'
    on conflict (upload_id) do update set status = excluded.status, failing_since = excluded.failing_since,
      error = excluded.error, changed_at = excluded.changed_at`.execute(world.kysely);

const clusterFails = (minutes: number) => (world: AlertWorld) =>
  sql`insert into pin_cluster (failing_since, error) values (${hoursAgo(minutes / 60)}, 'refused')
    on conflict (singleton) do update set failing_since = excluded.failing_since, error = excluded.error`.execute(
    world.kysely,
  );

const pullSince = (hours: number) => async (world: AlertWorld) => {
  await sql`delete from pulls`.execute(world.kysely);
  await sql`insert into pulls (owner, url, failing_since, error_code, error, created_at)
    values ('service', 'https://a.example.com/2', now(), 'STALLED', 'nothing came', ${hoursAgo(hours)})`.execute(
    world.kysely,
  );
};

const difference = (kind: string) => (world: AlertWorld) =>
  sql`insert into chain_differences (deal_id, kind, detail, epoch, tipset, found_at)
    select id, ${kind}, 'they differ', 100, '{bafyt}', now() from deals`.execute(world.kysely);

/** Spent a day ago, and what is left of it, in parts of what is spent a day. */
async function funds(world: AlertWorld, left: { datacapDays: number; escrowDays: number }) {
  const { kysely } = world;
  await sql`delete from client_funds`.execute(kysely);
  await sql`update deals set created_at = now() - interval '1 day', verified = true, price_per_epoch = 1000,
    client = 'f1client', published_epoch = 2_900_000`.execute(kysely);
  await sql`insert into client_funds (client, at, epoch, free_escrow, datacap_bytes)
    select 'f1client', now(), ${HEAD}, ${left.escrowDays} * 1000 * (d.end_epoch - d.start_epoch),
      (${left.datacapDays} * a.piece_bytes)::bigint from deals d join aggregates a on a.id = d.aggregate_id`.execute(
    kysely,
  );
}

async function storeReads(world: AlertWorld, key: string, times: number) {
  const counted = countStore(world.fixture.store, world.metrics.counters);
  for (let at = 0; at < times; at += 1) {
    try {
      for await (const _ of counted.read(key, 0, 1));
    } catch {
      // That it fails is what is counted.
    }
  }
}

const answers = (world: AlertWorld, outcome: string, times: number) => {
  for (let at = 0; at < times; at += 1)
    world.metrics.counters.providerAnswered({ question: 'propose', outcome, ms: 100 });
};

const requests = (world: AlertWorld, status: number, times: number) => {
  for (let at = 0; at < times; at += 1)
    world.metrics.counters.requestAnswered({ method: 'GET', route: '/check/:cid', status, ms: 3, endless: false });
};

export const alertCases: AlertCase[] = [
  {
    alerts: ['LadingFiguresMissing'],
    close: async () => undefined,
    beyond: async ({ around }) => (around.databaseIsGone = true),
  },
  stuckCase(['LadingStuck48h'], 47, 49),
  stuckCase(['LadingStuck48h', 'LadingStuck60h'], 46, 61),
  stuckCase(['LadingStuck48h', 'LadingStuck60h', 'LadingStuck72h'], 45, 73),
  {
    alerts: ['LadingProposingPaused'],
    close: async (world) => {
      await call(world.fixture, 'POST', '/proposing/pause', { body: { reason: 'we move' } });
      await pausedFor(3.9)(world);
    },
    beyond: pausedFor(4.1),
  },
  { alerts: ['LadingPullsFailing'], close: pullSince(5), beyond: pullSince(7) },
  { alerts: ['LadingChainBehind'], close: chainRead(29), beyond: chainRead(31) },
  { alerts: ['LadingChainDegraded'], close: degraded(14), beyond: degraded(16) },
  {
    alerts: ['LadingNodeResting'],
    close: async ({ around }) => (around.endpoint = { state: 'unknown', standing: 'behind' }),
    beyond: async ({ around }) => (around.endpoint = { state: 'resting', standing: 'unknown' }),
  },
  {
    alerts: ['LadingNodesDisagree'],
    close: async ({ around }) => (around.endpoint = { state: 'well', standing: 'behind' }),
    beyond: async ({ around }) => (around.endpoint = { state: 'well', standing: 'differs' }),
  },
  {
    alerts: ['LadingNodesDisagree'],
    close: difference('untold'),
    beyond: ({ kysely }) => sql`update chain_differences set kind = 'nodes_disagree'`.execute(kysely),
  },
  {
    alerts: ['LadingNoProviderTakesDeals'],
    close: async (world) => {
      const dealId = await sealedAnew(world, 'accepted');
      await transferMoves(dealId, new Date())(world);
    },
    beyond: ({ kysely }) =>
      sql`with gone as (update deals set state = 'rejected', reason_code = 'busy', settled_at = now()
          where state = 'accepted' returning id)
        insert into events (at, deal_id, from_state, to_state) select now(), id, 'accepted', 'rejected' from gone`.execute(
        kysely,
      ),
  },
  {
    alerts: ['LadingProposalsRefused'],
    close: async (world) => {
      answers(world, 'refused', 20);
      answers(world, 'accepted', 1);
    },
    beyond: async (world) => {
      // A service that started anew counts from nothing.
      answers(world, 'refused', 20);
      answers(world, 'not_connected', 2);
    },
  },
  {
    alerts: ['LadingTransfersDoNotBegin'],
    close: async (world) => {
      const dealId = await sealedAnew(world, 'accepted');
      await sealedMore(world);
      await transferMoves(dealId, new Date())(world);
    },
    beyond: ({ kysely }) => sql`update transfers set moved_at = ${hoursAgo(1)}`.execute(kysely),
  },
  {
    alerts: ['LadingDatacapLow'],
    close: (world) => funds(world, { datacapDays: 15, escrowDays: 100 }),
    beyond: (world) => funds(world, { datacapDays: 13, escrowDays: 100 }),
  },
  {
    alerts: ['LadingEscrowLow'],
    close: (world) => funds(world, { datacapDays: 100, escrowDays: 15 }),
    beyond: (world) => funds(world, { datacapDays: 100, escrowDays: 13 }),
  },
  { alerts: ['LadingDealsUnrenewed'], close: endsIn(15), beyond: endsIn(13) },
  {
    alerts: ['LadingDealsUnrenewed', 'LadingDealsUnrenewedSoon'],
    // What nobody owns any more ends as it should.
    close: async (world) => {
      await endsIn(6)(world);
      await sql`update upload_owners set ended_at = now()`.execute(world.kysely);
    },
    beyond: ({ kysely }) => sql`update upload_owners set ended_at = null`.execute(kysely),
  },
  { alerts: ['LadingDeadLetters'], close: (world) => webhook(world, 1), beyond: deadLetter },
  { alerts: ['LadingWebhookFailing'], close: (world) => webhook(world, 11), beyond: (world) => webhook(world, 13) },
  { alerts: ['LadingJobsGivenUp'], close: job('created', 1), beyond: job('failed', 1) },
  { alerts: ['LadingJobsFailing'], close: job('created', 1), beyond: job('retry', 1) },
  { alerts: ['LadingJobsLate'], close: job('created', 55), beyond: job('created', 65) },
  {
    alerts: ['LadingStoreDamaged'],
    close: ({ kysely }) =>
      sql`insert into damage (object_key, object_offset, length_bytes, upload_id, what, found_at, cleared_at)
        select 'runs/a', 0, 10, min(id), 'bad hash', now(), now() from uploads`.execute(kysely),
    beyond: ({ kysely }) => sql`update damage set cleared_at = null`.execute(kysely),
  },
  {
    alerts: ['LadingStoreFailing'],
    close: async (world) => {
      const { tree_key: key } = await world.kysely
        .selectFrom('aggregates')
        .select('tree_key')
        .executeTakeFirstOrThrow();
      await storeReads(world, key ?? '', 50);
      await storeReads(world, 'trees/none', 1);
    },
    beyond: (world) => storeReads(world, 'trees/none', 9),
  },
  {
    alerts: ['LadingDiskLow'],
    close: async ({ around }) => (around.storeGib = 33),
    beyond: async ({ around }) => (around.storeGib = 31),
  },
  {
    alerts: ['LadingDataDirLow'],
    close: async ({ around }) => (around.dataGib = 11),
    beyond: async ({ around }) => (around.dataGib = 9),
  },
  {
    alerts: ['LadingDiskFilling'],
    // 0.1 and 2 GiB in five minutes: 29 and 576 GiB a day.
    close: async ({ around }) => (around.storeGib -= 0.1),
    beyond: async ({ around }) => (around.storeGib -= 2),
    growing: ['lading_store_free_bytes'],
  },
  {
    alerts: ['LadingHttpErrors'],
    close: async (world) => {
      requests(world, 200, 100);
      requests(world, 503, 4);
    },
    beyond: async (world) => {
      requests(world, 200, 100);
      requests(world, 503, 6);
    },
  },
  { alerts: ['LadingPinClusterFailing'], close: clusterFails(14), beyond: clusterFails(16) },
  { alerts: ['LadingPinsFailed'], close: pinned('pinned', 1), beyond: pinned('failed', 1) },
  { alerts: ['LadingPinsSlow'], close: pinned('pinning', 11), beyond: pinned('pinning', 13) },
];

/** A second deal of the same aggregate, which nobody fetches for yet. */
async function sealedMore({ kysely }: AlertWorld) {
  const { id } = await kysely
    .selectFrom('aggregates')
    .select('id')
    .where('piece_cid', '=', OTHER_PIECE)
    .executeTakeFirstOrThrow();
  await seedDeal(kysely, { aggregateId: id, slot: 1, provider: 'f01002', state: 'accepted', changedAt: new Date() });
}
