import { sql } from 'kysely';
import * as fc from 'fast-check';
import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { EventHub, type HubLimits } from '../../src/events/hub.ts';
import { BEGINNING } from '../../src/events/outbox.ts';
import { silentLog } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';
import { seedUploads, tell, untilReadable } from './event-rows.ts';
import { rootAt, seedLarge } from './large-aggregate.ts';
import { MemorySink } from './memory-sink.ts';

type Db = Awaited<ReturnType<typeof testDatabase>>;

function openHub({ kysely }: Db, limits: Partial<HubLimits> = {}) {
  const hub = new EventHub({ kysely, log: silentLog, letter: () => 'f', limits: { tickMs: 5, ...limits } });
  onTestFinished(() => hub.close());
  return hub;
}

const INSERT = `insert into events (at, upload_id, to_state, detail) values (now(), $1, 'waiting', $2)`;

test('every change is told once to each, however transactions interleave and readers come and go', async () => {
  await using db = await testDatabase();
  const [id] = await seedUploads(db.kysely, ['bafyone', 'bafytwo']);
  const hub = openHub(db, { tickMs: 1 });
  const step = fc.record({
    slot: fc.nat(2),
    act: fc.constantFrom('touch', 'write', 'write', 'write', 'commit', 'commit', 'rollback', 'come', 'block'),
  });
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      round += 1;
      const always = new MemorySink();
      const named = new MemorySink();
      const subscriptions = [
        await hub.subscribe({}, always),
        await hub.subscribe({ cids: ['bafyone', 'bafynone'] }, named),
      ];
      const comers: MemorySink[] = [];
      const writers = new Map<number, { client: pg.PoolClient; labels: string[] }>();
      const committed: string[] = [];
      const end = async (slot: number, how: string) => {
        const open = writers.get(slot);
        if (open === undefined) return;
        writers.delete(slot);
        await open.client.query(how);
        open.client.release();
        if (how === 'commit') committed.push(...open.labels);
      };
      for (const [at, { slot, act }] of steps.entries()) {
        if (act === 'come') {
          const sink = new MemorySink();
          comers.push(sink);
          subscriptions.push(await hub.subscribe({}, sink, BEGINNING));
        } else if (act === 'block') {
          always.full = !always.full;
          if (!always.full) subscriptions[0]?.drained();
        } else if (act === 'commit' || act === 'rollback') await end(slot, act);
        else {
          const open = writers.get(slot) ?? { client: await db.pool.connect(), labels: [] };
          if (!writers.has(slot)) await open.client.query('begin');
          writers.set(slot, open);
          if (act === 'touch') await open.client.query('select pg_current_xact_id()');
          else {
            open.labels.push(`${round}/${at}`);
            await open.client.query(INSERT, [id, `${round}/${at}`]);
          }
        }
      }
      for (const slot of writers.keys()) await end(slot, slot % 2 === 0 ? 'commit' : 'rollback');
      always.full = false;
      subscriptions[0]?.drained();
      const told = (sink: MemorySink) =>
        sink.changes.map(({ reason }) => reason ?? '').filter((label) => label.startsWith(`${round}/`));
      for (const sink of [always, named, ...comers]) {
        await expect
          .poll(() => told(sink).length, { timeout: 10_000, interval: 5 })
          .toBeGreaterThanOrEqual(committed.length);
        expect(told(sink).toSorted()).toEqual(committed.toSorted());
        // In the order of all, the same for everybody.
        expect(told(sink)).toEqual(told(always));
      }
      for (const subscription of subscriptions) subscription.close();
    }),
    { numRuns: 25, seed: 20_260_711 },
  );
  expect(hub.size).toBe(0);
});

test('of a large aggregate one reader gets its own upload at once, and one of all gets all in pages', async () => {
  await using db = await testDatabase();
  const { deal } = await seedLarge(db, 5_000);
  await untilReadable(db.kysely);
  const hub = openHub(db);
  const named = new MemorySink();
  const all = new MemorySink();
  await hub.subscribe({ cids: [rootAt(4_321)] }, named);
  await hub.subscribe({ kinds: ['deal'] }, all);
  await tell(db.kysely, [{ deal_id: deal, from_state: 'accepted', to_state: 'accepted' }]);
  await expect.poll(() => named.changes.map(({ cid }) => cid)).toEqual([rootAt(4_321)]);
  await expect.poll(() => all.changes.length, { timeout: 10_000 }).toBe(5_000);
  expect(new Set(all.ids).size).toBe(5_000);
  expect(Math.max(...all.writes)).toBeLessThanOrEqual(200);
});

test('nothing is kept for a reader that is full: it reads on where it was, or is cut off', async () => {
  await using db = await testDatabase();
  const roots = Array.from({ length: 300 }, (_, at) => rootAt(at));
  const hub = openHub(db, { heartbeatMs: 50, slowMs: 1_000 });
  const [patient, dead] = [new MemorySink(), new MemorySink()];
  const subscription = await hub.subscribe({}, patient);
  await hub.subscribe({}, dead);
  patient.full = true;
  dead.full = true;
  for (let from = 0; from < roots.length; from += 50) {
    await seedUploads(db.kysely, roots.slice(from, from + 50));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // The one write that showed that it is full; a heartbeat may have shown it before.
  expect(patient.writes.length).toBeLessThanOrEqual(1);
  patient.full = false;
  subscription.drained();
  await expect.poll(() => patient.changes.map(({ cid }) => cid)).toEqual(roots);
  await expect.poll(() => dead.state, { timeout: 5_000 }).toBe('cut');
  expect(dead.writes.length).toBeLessThanOrEqual(1);
  expect(patient.state).toBe('open');
  expect(hub.size).toBe(1);
});

test('who reads far back hears that the connection lives', async () => {
  await using db = await testDatabase();
  await seedUploads(db.kysely, [rootAt(1)]);
  const hub = openHub(db, { heartbeatMs: 20 });
  const sink = new MemorySink();
  const holding = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  // Its first page takes as long as this transaction.
  const locked = db.kysely.transaction().execute(async (trx) => {
    await sql`lock table uploads in access exclusive mode`.execute(trx);
    holding.resolve();
    await held.promise;
  });
  await holding.promise;
  await hub.subscribe({}, sink, BEGINNING);
  await expect.poll(() => sink.beats).toBeGreaterThan(2);
  expect(sink.changes).toEqual([]);
  held.resolve();
  await locked;
  await expect.poll(() => sink.changes.length).toBe(1);
});
