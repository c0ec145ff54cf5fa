import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { callOff, callOffStalled, type CallOffDeps } from '../../../src/deals/send/call-off.ts';
import { noteSaid } from '../../../src/deals/send/status-store.ts';
import { beginRange, findDelivery, noteServed, SERVED_RANGE_BYTES } from '../../../src/deals/send/transfer-store.ts';
import { sumReserved } from '../../../src/deals/propose/proposal-store.ts';
import { findFetchablePiece } from '../../../src/deals/status/deal-list.ts';
import { silentLog } from '../../../src/log/log.ts';
import { settleSightings } from '../../../src/deals/watch/settle-sight.ts';
import { openWatch } from '../../support/watch-fixture.ts';
import { settableClock } from '../scripted-world.ts';

const HOUR = 3_600_000;
const start = new Date('2026-01-01T00:00:00Z');

let watched: Awaited<ReturnType<typeof openWatch>>;
let clock: ReturnType<typeof settableClock>;
let deps: CallOffDeps;
let deal: Awaited<ReturnType<typeof watched.seed>>;
let piece = 0;

beforeAll(async () => {
  watched = await openWatch({ rpcUrl: 'http://127.0.0.1:9' });
});
afterAll(() => watched[Symbol.asyncDispose]());

/** Each test has one accepted deal, of a piece of three ranges. */
beforeEach(async () => {
  piece += 1;
  clock = settableClock(start);
  deps = { db: watched.kysely, jobs: watched.jobs, clock: clock.clock, random: () => 0, log: silentLog };
  watched.jobs.sent.length = 0;
  deal = await watched.seed({ piece, provider: `f0${2_000 + piece}` });
  await enlarge(deal.aggregateId);
});

/** Gives the aggregate a CAR of three ranges. */
async function enlarge(aggregateId: bigint): Promise<void> {
  const carBytes = BigInt(2 * SERVED_RANGE_BYTES + 1);
  const sizes = {
    car_bytes: carBytes,
    length_bytes: carBytes - 100n,
    capacity_bytes: carBytes,
    piece_bytes: 2n ** 28n,
  };
  await watched.kysely.updateTable('aggregates').set(sizes).where('id', '=', aggregateId).execute();
}

const serve = (range: number, dealId = deal.id) =>
  beginRange(watched.kysely, { dealId, range, ranges: 3 }, clock.clock.now());
const now = () => watched.deal(deal.id);

describe('calling a transfer off', () => {
  it('waits as long as the policy says, from the acceptance and from the last bytes on', async () => {
    clock.advance(6 * HOUR - 1);
    await callOffStalled(deps);
    expect(await now()).toMatchObject({ state: 'accepted' });
    await serve(0);
    await noteServed(watched.kysely, deal.id, 1_000, clock.clock.now());
    clock.advance(6 * HOUR - 1);
    expect(await callOff(deps, deal.id)).toBe(false);
    clock.advance(1);
    expect(await callOff(deps, deal.id)).toBe(true);
    expect(await now()).toMatchObject({ state: 'abandoned', reason_code: 'transfer_stalled' });
    expect((await now()).reason_text).toContain('has not moved for 21600 s');
  });

  it('ends a trickle that would go on beyond the start of the deal, and none that would not', async () => {
    const aDay = 2_880n;
    const epoch = (await now()).start_epoch - aDay;
    const freshness = { epoch, as_of: clock.clock.now(), looked_at: clock.clock.now() };
    await watched.kysely.deleteFrom('chain_freshness').execute();
    await watched.kysely.insertInto('chain_freshness').values(freshness).execute();
    await serve(0);
    // A third of a day later a third of the bytes are gone: just fast enough.
    const fast = Math.ceil((2 * SERVED_RANGE_BYTES + 1) * 0.34);
    await noteServed(watched.kysely, deal.id, fast, clock.clock.now());
    clock.advance(8 * HOUR);
    await noteServed(watched.kysely, deal.id, 0, clock.clock.now());
    expect(await callOff(deps, deal.id)).toBe(false);
    await watched.kysely
      .updateTable('transfers')
      .set({ served_bytes: BigInt(Math.floor(fast * 0.9)) })
      .where('deal_id', '=', deal.id)
      .execute();
    await callOffStalled(deps);
    expect(await now()).toMatchObject({ state: 'abandoned', reason_code: 'transfer_too_slow' });
  });

  it('shuts the token, frees the slot, and keeps what was reserved until the start is final', async () => {
    const before = await sumReserved(watched.kysely, (await now()).client, 1);
    expect(await findFetchablePiece(watched.kysely, deal.id)).toBeDefined();
    clock.advance(6 * HOUR);
    expect(await callOff(deps, deal.id)).toBe(true);
    expect(await now()).toMatchObject({ settled_at: null, called_off_at: clock.clock.now(), next_status_at: null });
    expect(await findFetchablePiece(watched.kysely, deal.id)).toBeUndefined();
    expect(await serve(0)).toBe(false);
    expect(await sumReserved(watched.kysely, (await now()).client, 1)).toEqual(before);
    expect(watched.jobs.sent).toEqual([{ queue: 'propose', aggregateId: deal.aggregateId.toString() }]);
    const provider = await watched.kysely
      .selectFrom('providers')
      .selectAll()
      .where('id', '=', `f0${2_000 + piece}`)
      .executeTakeFirstOrThrow();
    expect(provider).toMatchObject({ failures: 1, retry_at: new Date(clock.clock.now().getTime() + 15_000) });

    const again = watched.seed({
      aggregateId: deal.aggregateId,
      piece,
      provider: `f0${2_000 + piece}`,
      startEpoch: 501,
    });
    await expect(again, 'no second proposal to the provider').rejects.toThrow('deals_one_unsettled_per_provider');
    const other = await watched.seed({ aggregateId: deal.aggregateId, piece, provider: `f0${3_000 + piece}` });
    expect(await watched.deal(other.id)).toMatchObject({ slot: 0, state: 'accepted' });

    const at = { epoch: 600, tipset: ['bafyt'], finalizedEpoch: 600, discoveredEpoch: 600 };
    const sight = [{ dealId: deal.id, seen: { kind: 'absent' as const }, at }];
    await watched.kysely
      .transaction()
      .execute((trx) => settleSightings({ trx, jobs: watched.jobs, now: start }, sight));
    expect(await now()).toMatchObject({ state: 'abandoned', settled_at: start });
  });

  it('is undone by the chain, if the provider publishes it nevertheless', async () => {
    clock.advance(6 * HOUR);
    await callOff(deps, deal.id);
    const at = { epoch: 300, tipset: ['bafyt'], finalizedEpoch: 200, discoveredEpoch: 300 };
    const seen = {
      kind: 'present' as const,
      chainDealId: BigInt(9_000 + piece),
      sectorNumber: 0n,
      sectorStartEpoch: -1,
      slashEpoch: -1,
    };
    await watched.kysely
      .transaction()
      .execute((trx) => settleSightings({ trx, jobs: watched.jobs, now: start }, [{ dealId: deal.id, seen, at }]));
    expect(await now()).toMatchObject({ state: 'published', chain_deal_id: BigInt(9_000 + piece) });
  });
});

describe('a deal is not called off', () => {
  const stays = async () => {
    clock.advance(100 * HOUR);
    await callOffStalled(deps);
    expect(await callOff(deps, deal.id)).toBe(false);
    expect(await now()).toMatchObject({ state: 'accepted', called_off_at: null });
  };

  it('that was fully served', async () => {
    for (const range of [2, 0, 1]) expect(await serve(range)).toBe(true);
    expect(await findDelivery(watched.kysely, deal.id)).toMatchObject({ transfer: { servedRanges: 3, ranges: 3 } });
    await stays();
  });

  it('that is offline', async () => {
    await watched.kysely.updateTable('deals').set({ offline: true }).where('id', '=', deal.id).execute();
    await stays();
  });

  it('whose provider says that it has the bytes, or names its publish', async () => {
    await watched.kysely
      .updateTable('deals')
      .set({ said_status: 'Transferred: no funds' })
      .where('id', '=', deal.id)
      .execute();
    await stays();
    await watched.kysely
      .updateTable('deals')
      .set({ said_status: null, said_publish_message: 'bafym' })
      .where('id', '=', deal.id)
      .execute();
    await stays();
  });

  it('whose provider said once that it has the bytes, and something else since', async () => {
    const at = clock.clock.now();
    const say = (text: string) => noteSaid(watched.kysely, deal.id, { text, publishMessage: undefined, at });
    for (const text of ['Transferred', 'failed to fetch deal status', 'Accepted']) await say(text);
    expect((await findDelivery(watched.kysely, deal.id))?.said?.status).toBe('Transferred: by now it says: Accepted');
    await say('Published');
    expect((await findDelivery(watched.kysely, deal.id))?.said?.status).toBe('Published');
    await say('failed to fetch deal status');
    await stays();
  });

  it('whose provider has another deal for the piece, or held it once', async () => {
    const provider = `f0${2_000 + piece}`;
    const seed = { aggregateId: deal.aggregateId, piece, provider, generation: 1, slot: 1, startEpoch: 600 };
    const other = await watched.seed(seed);
    await stays();
    await watched.kysely.transaction().execute(async (trx) => {
      const at = { epoch: 300, tipset: ['bafyt'], finalizedEpoch: 200, discoveredEpoch: 300 };
      const chainDealId = BigInt(70_000 + piece);
      const seen = { kind: 'present' as const, chainDealId, sectorNumber: 1n, sectorStartEpoch: 250, slashEpoch: 260 };
      await settleSightings({ trx, jobs: watched.jobs, now: start }, [{ dealId: other.id, seen, at }]);
    });
    expect(await watched.deal(other.id)).toMatchObject({ state: 'slashed' });
    await stays();
  });
});

describe('serving and calling off at once', () => {
  it('never ends in a fully served proposal that was called off', async () => {
    for (let round = 0; round < 12; round += 1) {
      const one = await watched.seed({ piece: 100 + round, provider: `f0${4_000 + round}` });
      const serveOne = (range: number) => beginRange(watched.kysely, { dealId: one.id, range, ranges: 3 }, start);
      await enlarge(one.aggregateId);
      clock = settableClock(new Date(start.getTime() + 7 * HOUR));
      // All but the last range left long ago; the last one leaves while it is called off, in every order of steps.
      await serveOne(0);
      await serveOne(1);
      const acts = [() => serveOne(2), () => callOff({ ...deps, clock: clock.clock }, one.id)];
      const [first, second] = await Promise.all((round % 2 === 0 ? acts : acts.toReversed()).map((act) => act()));
      const isServed = round % 2 === 0 ? first : second;
      const isCalledOff = round % 2 === 0 ? second : first;
      expect([round, isServed, isCalledOff]).toEqual([round, isServed, !isServed]);
    }
  });
});
