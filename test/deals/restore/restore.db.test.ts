import { randomBytes } from 'node:crypto';
import { Piece } from '@web3-storage/data-segment';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { openStoredCar } from '../../../src/aggregate/bytes/virtual-car.ts';
import { createQuota, sumStoredBytes } from '../../../src/aggregate/keep/quota.ts';
import { sweepOrphans } from '../../../src/aggregate/keep/sweep-orphans.ts';
import { findRestoredKey } from '../../../src/aggregate/aggregate-rows.ts';
import { changePolicy } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { listAggregatesShortOfDeals } from '../../../src/deals/propose/proposal-store.ts';
import { proposeAggregate } from '../../../src/deals/propose/propose.ts';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { pieceLimits } from '../../../src/deals/restore/read-piece.ts';
import { letRestoredGo } from '../../../src/deals/restore/restore-store.ts';
import { restoreBytes, type RestoreDeps } from '../../../src/deals/restore/restore.ts';
import type { TransportsAnswer } from '../../../src/deals/transport/transport.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { testDatabase } from '../../support/database.ts';
import { seedDeal } from '../../support/seed-rows.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { newUuid, scriptedChain, scriptedTransport, settableClock, testWallet } from '../scripted-world.ts';
import { createJobLog } from '../sealed-aggregate.ts';
import { pieceHost, type Ways } from './piece-host.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;
const HOUR_MS = 3_600_000;
/** Of the deals that are seeded. */
const END_EPOCH = 3_100_718;
const BYTES = randomBytes(600_000);
const PIECE = Piece.fromPayload(BYTES).toInfo();

/** A released aggregate with one dead replica and two active ones, whose providers serve the piece as `hosts` say. */
async function releasedWorld(hosts: { bytes?: Uint8Array; ways?: Ways }[], stack: AsyncDisposableStack) {
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const { kysely: db } = database;
  const jobLog = await createJobLog(db);
  const store = await openLocalStore(folder.path);
  const clock = settableClock(start);
  const { transport } = scriptedTransport();
  const { chain, state: chainState } = scriptedChain();
  const quota = { expect: async () => undefined };
  const served = new Map<string, string>();
  const open = [];
  for (const [at, { bytes = BYTES, ways }] of hosts.entries()) {
    const host = stack.use(await pieceHost(bytes, ways));
    served.set(`peer-of-f0100${at}`, host.multiaddr);
    open.push(host);
  }
  const transports = async ({ peerId }: { peerId: string }): Promise<TransportsAnswer> => {
    const multiaddrs = served.has(peerId) ? [served.get(peerId) ?? ''] : [];
    return { kind: 'answered', transports: [{ name: 'http', multiaddrs }] };
  };
  const common = { db, jobs: jobLog.jobs, chain, clock: clock.clock, log: silentLog, random: () => 0.25 };
  const proposing = { ...common, transport, wallet: testWallet, newUuid };
  const limits = { ...pieceLimits, tries: 2, retryMs: 5, rangeBytes: 250_000 };
  const deps: RestoreDeps = {
    ...common,
    transport: { transports },
    store,
    allowPrivate: true,
    minFreeBytes: 0n,
    quota,
    limits,
  };
  for (const at of [0, 1, 2, 3, 4]) await addProvider(proposing, { id: `f0100${at}` });
  const terms = changePolicy(await findPolicy(db), ['replicas=3', 'max_per_org=none', 'verified=true']);
  await insertPolicy(db, terms, { at: start, by: 'test' });
  const aggregateId = await insertReleased(database);
  await seedDeal(db, { aggregateId, slot: 0, provider: 'f01000', state: 'active', chainDealId: 1n });
  await seedDeal(db, { aggregateId, slot: 1, provider: 'f01001', state: 'active', chainDealId: 2n });
  await seedDeal(db, { aggregateId, slot: 2, provider: 'f01002', state: 'slashed', chainDealId: 3n });
  await jobLog.take();
  return { db, deps, proposing, chainState, store, clock, jobLog, aggregateId, hosts: open };
}

async function insertReleased({ kysely: db }: Awaited<ReturnType<typeof testDatabase>>): Promise<bigint> {
  return await db.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('aggregates')
      .values({
        state: 'sealed',
        capacity_bytes: 1_040_384n,
        length_bytes: BigInt(BYTES.length) - 1_000n,
        entry_count: 1,
        oldest_accepted_at: start,
        seal_reason: 'age',
        tree_key: 'trees/1-x',
        tree_bytes: 1_000n,
        batch_root: 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
        car_bytes: BigInt(BYTES.length),
        piece_cid: PIECE.link.toString(),
        piece_bytes: BigInt(PIECE.size),
        opened_at: start,
        sealed_at: start,
        changed_at: start,
        released_at: start,
        proofs_key: 'proofs/1-x',
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ at: start, aggregate_id: id, to_state: 'sealed' }).execute();
    return id;
  });
}

type World = Awaited<ReturnType<typeof releasedWorld>>;

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function storedKeys({ store }: World): Promise<string[]> {
  return (await all(store.list())).map(({ key }) => key);
}

async function eventsOf({ db, aggregateId }: World) {
  const rows = await db
    .selectFrom('events')
    .select(['reason_code', 'detail', 'evidence'])
    .where('aggregate_id', '=', aggregateId)
    .where('reason_code', 'is not', null)
    .orderBy('position')
    .execute();
  return rows.map(({ reason_code: code, detail, evidence }) => ({ code, detail, evidence }));
}

test('a slot of a released aggregate has its bytes fetched back before anything is signed, then its proposal', async () => {
  await using stack = new AsyncDisposableStack();
  // As Boost serves it: the piece is the CAR and zeros.
  const world = await releasedWorld([{ ways: { zeros: 440_384 } }, {}], stack);
  const { db, deps, proposing, jobLog, aggregateId, store, hosts } = world;
  expect(await listAggregatesShortOfDeals(db, 10)).toEqual([aggregateId]);
  const outcome = await proposeAggregate(proposing, aggregateId, signal);
  expect(outcome).toMatchObject({ kind: 'waiting', reason: expect.stringMatching(/^bytes_released: .*fetched back/) });
  expect(await jobLog.take()).toMatchObject([{ queue: 'restore', data: { aggregateId: `${aggregateId}` } }]);
  expect(await db.selectFrom('deals').selectAll().where('state', '=', 'signed').execute()).toEqual([]);

  expect(await restoreBytes(deps, aggregateId, signal)).toBe('restored');
  expect(hosts[0]?.asked[0]?.path).toBe(`/piece/${PIECE.link}`);
  expect(await jobLog.take()).toMatchObject([{ queue: 'propose', data: { aggregateId: `${aggregateId}` } }]);
  const key = (await findRestoredKey(db, aggregateId)) ?? '';
  expect(await storedKeys(world)).toEqual([key]);
  const chunks = await all(openStoredCar(store, key, BYTES.length).readRange(7, BYTES.length));
  expect(Buffer.concat(chunks).equals(BYTES.subarray(7))).toBe(true);
  expect(await eventsOf(world)).toMatchObject([
    { code: 'BYTES_RESTORED', evidence: { provider: 'f01000', objectKey: key } },
  ]);
  expect(await sumStoredBytes(db)).toBe(BigInt(BYTES.length));
  expect(await sweepOrphans({ kysely: db, store, clock: { now: () => new Date(Date.now() + HOUR_MS) } })).toBe(0);

  const signed = await proposeAggregate(proposing, aggregateId, signal);
  expect(signed).toMatchObject({ kind: 'signed', waiting: undefined, dealIds: [expect.any(String)] });
  // Nothing is fetched that is there.
  expect(await restoreBytes(deps, aggregateId, signal)).toBe('nothing-to-do');
});

test('what is not the piece is refused by name, the next provider is asked, and nothing of it is left', async () => {
  await using stack = new AsyncDisposableStack();
  const wrong = Uint8Array.from(BYTES);
  wrong[599_999] = (wrong[599_999] ?? 0) ^ 1;
  const world = await releasedWorld([{ bytes: wrong }, {}], stack);
  const { deps, aggregateId, hosts } = world;
  expect(await restoreBytes(deps, aggregateId, signal)).toBe('restored');
  expect(hosts.map(({ asked }) => asked.length)).toEqual([3, 3]);
  expect(await storedKeys(world)).toHaveLength(1);
  expect(await eventsOf(world)).toMatchObject([{ code: 'BYTES_RESTORED', evidence: { provider: 'f01001' } }]);
});

test('where no provider serves the piece nothing is signed or left; why is told, and it is tried again later and later', async () => {
  await using stack = new AsyncDisposableStack();
  const wrong = Buffer.alloc(BYTES.length, 'x');
  const world = await releasedWorld([{ bytes: wrong }, { ways: { stuckAt: 300_000 } }], stack);
  const { db, deps, proposing, jobLog, aggregateId, clock, hosts } = world;
  expect(await restoreBytes(deps, aggregateId, signal)).toBe('failed');
  expect(await storedKeys(world)).toEqual([]);
  expect(await eventsOf(world)).toMatchObject([
    {
      code: 'RESTORE_FAILED',
      detail: expect.stringMatching(/^f01000: wrong_piece: .*; f01001: truncated: byte 300000 of 600000 does not come/),
    },
  ]);
  const waits = [];
  for (let failed = 1; failed <= 7; failed += 1) {
    const [job] = await jobLog.take();
    expect(job).toMatchObject({ queue: 'restore', data: { aggregateId: `${aggregateId}` } });
    const at = job?.startAfter ?? start;
    waits.push((at.getTime() - clock.clock.now().getTime()) / HOUR_MS);
    clock.advance(at.getTime() - clock.clock.now().getTime() - 1_000);
    const before = hosts[0]?.asked.length;
    expect(await restoreBytes(deps, aggregateId, signal)).toBe('held');
    expect(hosts[0]?.asked.length).toBe(before);
    await jobLog.take();
    clock.advance(1_000);
    expect(await restoreBytes(deps, aggregateId, signal)).toBe('failed');
  }
  expect(waits.map(Math.round)).toEqual([1, 2, 4, 8, 16, 25, 25]);
  expect(await proposeAggregate(proposing, aggregateId, signal)).toMatchObject({ kind: 'waiting' });
  expect(await db.selectFrom('deals').selectAll().where('state', '=', 'signed').execute()).toEqual([]);
  const { failures } = await db.selectFrom('restorations').select('failures').executeTakeFirstOrThrow();
  expect(failures).toBe(8);
});

test('a private address is not dialed, and an aggregate that nobody proves any more is not tried at all', async () => {
  await using stack = new AsyncDisposableStack();
  const world = await releasedWorld([{}, {}], stack);
  const { db, deps, proposing, aggregateId, hosts } = world;
  expect(await restoreBytes({ ...deps, allowPrivate: false }, aggregateId, signal)).toBe('failed');
  expect(hosts.map(({ asked }) => asked.length)).toEqual([0, 0]);
  await db.transaction().execute(async (trx) => {
    await sql`set local session_replication_role = replica`.execute(trx);
    await sql`update deals set state = 'slashed', reason_code = 'terminated', settled_at = now() where state = 'active'`.execute(
      trx,
    );
  });
  expect(await listAggregatesShortOfDeals(db, 10)).toEqual([]);
  expect(await proposeAggregate(proposing, aggregateId, signal)).toMatchObject({
    reason: 'bytes_released: the bytes of this aggregate are not kept any more',
  });
});

test('a store without room takes nothing, and two processes fetch once', async () => {
  await using stack = new AsyncDisposableStack();
  const world = await releasedWorld([{}, {}], stack);
  const { deps, aggregateId, hosts } = world;
  await expect(restoreBytes({ ...deps, minFreeBytes: 2n ** 62n }, aggregateId, signal)).rejects.toThrow(/no room/);
  const quota = createQuota({ kysely: deps.db, clock: deps.clock, quotaBytes: BigInt(BYTES.length - 1) });
  await expect(restoreBytes({ ...deps, quota }, aggregateId, signal)).rejects.toThrow(/STORE_QUOTA/);
  const outcomes = await Promise.all([1, 2, 3].map(() => restoreBytes(deps, aggregateId, signal)));
  expect(outcomes.toSorted()).toEqual(['nothing-to-do', 'nothing-to-do', 'restored']);
  expect(hosts.map(({ asked }) => asked.length)).toEqual([3, 0]);
});

test('what came back is let go once the replicas are active again, and not while a proposal is on its way', async () => {
  await using stack = new AsyncDisposableStack();
  const world = await releasedWorld([{}, {}], stack);
  const { db, deps, aggregateId, store } = world;
  await restoreBytes(deps, aggregateId, signal);
  const later = new Date(start.getTime() + 24 * HOUR_MS);
  const letGo = (changedBefore = later) => letRestoredGo(db, later, { changedBefore, limit: 10 });
  // Two of three are active: the third is still to be signed.
  expect(await letGo()).toBe(0);
  const id = await seedDeal(db, { aggregateId, slot: 2, provider: 'f01003', state: 'active', chainDealId: 4n });
  expect(await letGo(new Date(start.getTime() - 1))).toBe(0);
  const renewal = await seedDeal(db, { aggregateId, slot: 0, provider: 'f01004', state: 'rejected', chainDealId: 5n });
  await db.transaction().execute(async (trx) => {
    await sql`set local session_replication_role = replica`.execute(trx);
    await sql`update deals set state = 'accepted', generation = 1, settled_at = null, reason_code = null where id = ${renewal}`.execute(
      trx,
    );
  });
  expect(await letGo()).toBe(0);
  await db.deleteFrom('events').where('deal_id', '=', renewal).execute();
  await db.deleteFrom('deals').where('id', '=', renewal).execute();
  expect(id).toBeTruthy();
  expect(await letGo()).toBe(1);
  expect(await letGo()).toBe(0);
  expect((await eventsOf(world)).map(({ code }) => code)).toEqual(['BYTES_RESTORED', 'BYTES_RELEASED']);
  expect(await sweepOrphans({ kysely: db, store, clock: { now: () => new Date(Date.now() + 2 * HOUR_MS) } })).toBe(1);
  expect(await storedKeys(world)).toEqual([]);
});

test('a deal near its end is renewed out of bytes that were fetched back, and money comes before bytes', async () => {
  await using stack = new AsyncDisposableStack();
  const world = await releasedWorld([{}, {}], stack);
  const { db, deps, proposing, jobLog, aggregateId, chainState } = world;
  await seedDeal(db, { aggregateId, slot: 2, provider: 'f01003', state: 'active', chainDealId: 4n });
  chainState.height = END_EPOCH - 20_000;
  chainState.datacap = 0n;
  expect(await proposeAggregate(proposing, aggregateId, signal)).toMatchObject({
    reason: expect.stringMatching(/^DataCap/),
  });
  expect((await jobLog.take()).map(({ queue }) => queue)).not.toContain('restore');
  chainState.datacap = 2n ** 50n;
  expect(await proposeAggregate(proposing, aggregateId, signal)).toMatchObject({ kind: 'waiting' });
  expect((await jobLog.take()).map(({ queue }) => queue)).toEqual(['restore']);
  expect(await restoreBytes(deps, aggregateId, signal)).toBe('restored');
  expect(await proposeAggregate(proposing, aggregateId, signal)).toMatchObject({ kind: 'signed' });
  const renewed = await db.selectFrom('deals').select(['slot', 'generation']).where('state', '=', 'signed').execute();
  expect(renewed.map(({ generation }) => generation)).toEqual([1, 1, 1]);
});

test('bytes that are let go while terms are asked are fetched again, and nothing is signed for them before', async () => {
  await using stack = new AsyncDisposableStack();
  const world = await releasedWorld([{}, {}], stack);
  const { db, deps, proposing, jobLog, aggregateId } = world;
  await restoreBytes(deps, aggregateId, signal);
  await jobLog.take();
  let asked = 0;
  const ask: typeof proposing.transport.ask = async (...given) => {
    if ((asked += 1) === 1) await db.deleteFrom('restorations').execute();
    return await proposing.transport.ask(...given);
  };
  const outcome = await proposeAggregate({ ...proposing, transport: { ask } }, aggregateId, signal);
  expect(outcome).toMatchObject({ kind: 'waiting', reason: expect.stringMatching(/fetched back/) });
  expect((await jobLog.take()).map(({ queue }) => queue)).toEqual(['restore']);
  expect(await db.selectFrom('deals').select('id').where('state', '=', 'signed').execute()).toEqual([]);
});
