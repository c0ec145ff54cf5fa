import { expect, onTestFinished, test } from 'vitest';
import { createDevnetChain, type DevnetChainOptions } from '../../../src/devnet/devnet-chain.ts';
import { CLIENT, openWatch, type SeededDeal } from '../../support/watch-fixture.ts';

const PROVIDER = 'f01010';
const START = 2_000;
const END = START + 518_400;
const LOOKBACK = 3;

/** A devnet that moves only when told, one provider and our client on it, and the watch of it. */
async function devnetWatch(options: Partial<DevnetChainOptions> = {}) {
  const chain = await createDevnetChain({
    epochMs: 1_000,
    isPaused: true,
    seed: 'watch',
    collateralPerGib: 0n,
    ...options,
  });
  onTestFinished(() => chain.close());
  const door = async (name: string, body: unknown): Promise<Record<string, unknown>> => {
    const response = await fetch(`${chain.doorUrl}/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`/devnet/${name}: ${JSON.stringify(answer)}`);
    return answer;
  };
  await door('advance', { epochs: 50 });
  await door('providers', {
    id: PROVIDER,
    peerId: '12D3KooWMe15VK4Pytf8JbAzmekDYUDQzFaGbExvERhUG3mLYaJk',
    escrow: '10',
    sectorSize: '32GiB',
  });
  await door('fund', { address: CLIENT, fil: '10', datacap: '0' });
  await door('advance', { epochs: 20 });
  const watched = await openWatch({ rpcUrl: chain.rpcUrl, lookbackEpochs: LOOKBACK });
  onTestFinished(() => watched[Symbol.asyncDispose]());
  const grow = async (epochs: number) => {
    await door('advance', { epochs });
    await watched.watch();
  };
  const seed = (piece = 1) => watched.seed({ provider: PROVIDER, piece, startEpoch: START, endEpoch: END });
  const publish = ({ signedProposal }: SeededDeal) =>
    door('publish', { provider: PROVIDER, deals: [Buffer.from(signedProposal).toString('base64')] });
  return { ...watched, chain, door, grow, seed, publish };
}

test('published, proven, terminated: each is seen from the chain alone', async () => {
  const { seed, watch, publish, grow, deal, door, story, jobs } = await devnetWatch();
  const { id, ...seeded } = await seed();
  await watch();
  const { message, dealIds, height } = await publish({ id, ...seeded });
  await grow(LOOKBACK);
  expect(await deal(id)).toMatchObject({
    state: 'published',
    publish_message: message,
    published_epoch: BigInt(Number(height)),
    chain_deal_id: BigInt(Number((dealIds as number[])[0])),
  });

  const { sectorStartEpoch, sectorNumber } = await door('activate', { dealId: (dealIds as number[])[0] });
  await grow(LOOKBACK);
  expect(await deal(id)).toMatchObject({
    state: 'active',
    sector_start_epoch: BigInt(Number(sectorStartEpoch)),
    sector_number: BigInt(Number(sectorNumber)),
  });

  await door('terminate', { dealId: (dealIds as number[])[0] });
  await grow(LOOKBACK);
  expect((await deal(id)).state).toBe('slashed');
  expect(await story(id)).toEqual([
    'accepted',
    'published:found_on_chain',
    'active:sector_active',
    'slashed:sector_terminated',
  ]);
  expect(jobs.sent).toHaveLength(1);
});

test('never proven is missed, never published is abandoned, and a term ends', async () => {
  const { seed, watch, publish, grow, deal, door, ...watched } = await devnetWatch();
  const missed = await seed();
  const lost = await seed(2);
  const kept = await seed(3);
  await watch();
  await publish(missed);
  const { dealIds } = await publish(kept);
  await door('activate', { dealId: (dealIds as number[])[0] });
  await grow(LOOKBACK);
  expect([(await deal(missed.id)).state, (await deal(lost.id)).state, (await deal(kept.id)).state]).toEqual([
    'published',
    'accepted',
    'active',
  ]);
  await grow(START);
  expect([(await deal(missed.id)).state, (await deal(lost.id)).state]).toEqual(['missed', 'abandoned']);
  await grow(518_400);
  expect(watched.deps.view.status.degraded).toBeUndefined();
  expect((await deal(kept.id)).state).toBe('expired');
});

test.each([true, false])(
  'a publish that a reorg drops is undone; landing again (%s) it is found under its new id',
  async (reland) => {
    const { seed, watch, publish, grow, deal, door, story } = await devnetWatch({ finalityEpochs: 30 });
    const seeded = await seed();
    await watch();
    const first = await publish(seeded);
    await grow(LOOKBACK + 5);
    expect((await deal(seeded.id)).state).toBe('published');

    await door('reorg', { depth: LOOKBACK + 10, reland });
    await grow(1);
    const undone = await deal(seeded.id);
    expect(undone).toMatchObject({ state: 'accepted', chain_deal_id: null, publish_message: null });
    if (!reland) await publish(seeded);
    await grow(LOOKBACK + 6);
    const again = await deal(seeded.id);
    expect(again.state).toBe('published');
    expect(again.published_epoch).not.toBe(BigInt(Number(first['height'])));
    expect(await story(seeded.id)).toEqual([
      'accepted',
      'published:found_on_chain',
      'accepted:reorg',
      'published:found_on_chain',
    ]);
  },
);

test('a node with faults makes it later, never otherwise', async () => {
  const { seed, watch, publish, deal, door, story, ...watched } = await devnetWatch();
  const seeded = await seed();
  await watch();
  const { dealIds } = await publish(seeded);
  await door('faults', { rpc: { http500: 0.1, html: 0.1, truncated: 0.1, empty: 0.1 } });
  await door('activate', { dealId: (dealIds as number[])[0] });
  let degraded = 0;
  for (let rounds = 0; rounds < 200 && (await deal(seeded.id)).state !== 'active'; rounds += 1) {
    await door('advance', { epochs: 1 });
    await watch();
    if (watched.deps.view.status.degraded !== undefined) degraded += 1;
  }
  expect(degraded).toBeGreaterThan(0);
  expect(await story(seeded.id)).toEqual(['accepted', 'published:found_on_chain', 'active:sector_active']);
});
