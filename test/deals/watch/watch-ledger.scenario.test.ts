import { expect, onTestFinished, test } from 'vitest';
import { createChain } from '../../../src/chain/chain.ts';
import type { MarketDeal } from '../../../src/chain/market.ts';
import { createRpc } from '../../../src/chain/rpc.ts';
import { RpcError } from '../../../src/chain/rpc-error.ts';
import { createDevnetChain } from '../../../src/devnet/devnet-chain.ts';
import { drawFraction } from '../../../src/devnet/seeded-draw.ts';
import { CLIENT, openWatch, type SeededDeal } from '../../support/watch-fixture.ts';

const PROVIDER = 'f01010';
const DEALS = 12;
const START = 4_000;
const DURATION = 518_400;
const EPOCHS_PER_DAY = 2_880;
const LOOKBACK = 5;
const FINALITY = 30;
/** More than all publishes of a history are given. */
const MAX_IDS = 45n;
/** Until here there is something to do at every step; then the days go by. */
const BUSY_STEPS = 60;

interface Planned extends SeededDeal {
  startEpoch: number;
  endEpoch: number;
  /** The id that its last publish was given; after a reorg it may have another. */
  lastId: number | undefined;
}

async function openWorld(seed: string, { hasEvents }: { hasEvents: boolean }) {
  const chain = await createDevnetChain({
    epochMs: 1_000,
    isPaused: true,
    seed,
    collateralPerGib: 0n,
    finalityEpochs: FINALITY,
  });
  onTestFinished(() => chain.close());
  const ask = async (name: string, body: unknown) => {
    const headers = { 'content-type': 'application/json' };
    return await fetch(`${chain.doorUrl}/${name}`, { method: 'POST', headers, body: JSON.stringify(body) });
  };
  /** Undefined where the chain refuses it. */
  const door = async (name: string, body: unknown): Promise<Record<string, unknown> | undefined> => {
    const response = await ask(name, body);
    const answer = (await response.json()) as Record<string, unknown>;
    return response.ok ? answer : undefined;
  };
  await door('advance', { epochs: 50 });
  const peerId = '12D3KooWMe15VK4Pytf8JbAzmekDYUDQzFaGbExvERhUG3mLYaJk';
  await door('providers', { id: PROVIDER, peerId, escrow: '10', sectorSize: '32GiB' });
  await door('fund', { address: CLIENT, fil: '10', datacap: '0' });
  await door('advance', { epochs: 40 });
  const watched = await openWatch({ rpcUrl: chain.rpcUrl, lookbackEpochs: LOOKBACK });
  onTestFinished(() => watched[Symbol.asyncDispose]());
  if (!hasEvents) {
    const missing = () =>
      Promise.reject(new RpcError('RPC_METHOD_NOT_FOUND', 'no such method', { method: 'GetActorEventsRaw' }));
    watched.deps.chain = { ...watched.deps.chain, dealEvents: missing };
  }
  const rpc = createRpc({ endpoints: [{ url: chain.rpcUrl }] });
  onTestFinished(() => rpc.close());
  const draw = (what: string) => drawFraction(seed, what);
  const deals: Planned[] = [];
  for (let piece = 1; piece <= DEALS; piece += 1) {
    const startEpoch = START + Math.floor(draw(`start ${piece}`) * 2_000);
    const endEpoch = startEpoch + DURATION + Math.floor(draw(`end ${piece}`) * 100_000);
    const seeded = await watched.seed({ provider: PROVIDER, piece, startEpoch, endEpoch });
    deals.push({ ...seeded, startEpoch, endEpoch, lastId: undefined });
  }
  return { ...watched, door, draw, deals, oracle: createChain(rpc) };
}

type World = Awaited<ReturnType<typeof openWorld>>;

/** What a deal that the market actor holds has to be, by the table. */
function stateOf(onChain: MarketDeal, deal: Planned, at: { epoch: number; finalized: number }): string {
  if (onChain.sectorStartEpoch < 0) return Math.min(at.epoch, at.finalized) > deal.startEpoch ? 'missed' : 'published';
  return at.epoch < deal.endEpoch ? 'active' : 'expired';
}

const { signal } = new AbortController();

/** Where our rows and the ledger, as of the epoch that we name, do not say the same. */
async function disagreements(world: World, { exact }: { exact: boolean }): Promise<string[]> {
  const { epoch = 0 } = world.deps.view.status;
  await world.door('faults', { rpc: null });
  const { key: tipset } = await world.oracle.tipsetAt(epoch, signal);
  const cursors = await world.kysely
    .selectFrom('chain_cursors')
    .selectAll()
    .where('name', '=', 'watch.finalized')
    .execute();
  const finalized = Number(cursors[0]?.height ?? 0);
  const wrong: string[] = [];
  const shownNow: { id: bigint; onChain: MarketDeal }[] = [];
  for (let id = 0n; id < MAX_IDS; id += 1n) {
    const onChain = await world.oracle.marketDeal(id, { tipset, signal });
    if (onChain !== undefined) shownNow.push({ id, onChain });
  }
  for (const deal of world.deals) {
    const row = await world.deal(deal.id);
    const own = shownNow.filter(
      ({ onChain: { proposal } }) => proposal.startEpoch === deal.startEpoch && proposal.endEpoch === deal.endEpoch,
    );
    const held = new Map(own.map(({ id, onChain }) => [id, onChain]));
    const told = `deal ${deal.id} is ${row.state} as ${row.chain_deal_id} as of ${epoch}`;
    const shown = row.chain_deal_id === null ? undefined : held.get(row.chain_deal_id);
    // Without events an end counts once it is final: so says the table.
    const heldAtFinal = async () => {
      const { key } = await world.oracle.tipsetAt(finalized, signal);
      return exact ? undefined : await world.oracle.marketDeal(row.chain_deal_id ?? -1n, { tipset: key, signal });
    };
    if (row.state === 'active' && shown === undefined && (await heldAtFinal()) === undefined)
      wrong.push(`${told}, and the ledger has no such deal`);
    if (shown !== undefined && exact) {
      const expected = stateOf(shown, deal, { epoch, finalized });
      if (expected !== row.state) wrong.push(`${told}, and the ledger says ${expected}`);
    }
    if (shown === undefined && held.size > 0 && exact)
      wrong.push(`${told}, and the ledger holds it as ${[...held.keys()].join()}`);
    if (held.size === 0 && exact && row.state === 'published' && epoch <= deal.startEpoch)
      wrong.push(`${told}, and the ledger does not hold it`);
  }
  return wrong;
}

/** One thing that happens, drawn from the seed; what the chain refuses does not. */
async function happen(world: World, step: number): Promise<void> {
  const { door, draw, deals } = world;
  const deal = deals[Math.floor(draw(`deal ${step}`) * deals.length)];
  if (deal === undefined) return;
  const id = deal.lastId;
  const kind = draw(`kind ${step}`);
  if (kind < 0.45 || id === undefined) {
    const body = { provider: PROVIDER, deals: [Buffer.from(deal.signedProposal).toString('base64')] };
    const published = await door('publish', body);
    const [given] = (published?.['dealIds'] ?? []) as number[];
    if (given !== undefined) deal.lastId = given;
  } else if (kind < 0.7) await door('activate', { dealId: id });
  else if (kind < 0.78) await door('terminate', { dealId: id });
  else {
    const reland = draw(`reland ${step}`) < 0.5;
    await door('reorg', { depth: 1 + Math.floor(draw(`depth ${step}`) * (FINALITY - 5)), reland });
  }
}

async function look(world: World, fault: object | null): Promise<void> {
  world.clock.advance(30_000);
  await world.door('faults', { rpc: fault });
  await world.watch();
}

const faults = [null, null, { http500: 0.3 }, { html: 0.3 }, { truncated: 0.2, empty: 0.1 }, { behind: 20 }];

test.each([
  ['first', true, 540],
  // Without events each day is 2,880 tipsets to be read.
  ['third', false, 2],
])('under seed %s (events: %s, days: %i) no look says what the ledger does not', async (seed, hasEvents, days) => {
  const world = await openWorld(seed, { hasEvents });
  await look(world, null);
  let degraded = 0;
  for (let step = 0; step < BUSY_STEPS; step += 1) {
    await happen(world, step);
    await world.door('advance', { epochs: 1 + Math.floor(world.draw(`grow ${step}`) * 60) });
    await look(world, faults[Math.floor(world.draw(`fault ${step}`) * faults.length)] ?? null);
    const isDegraded = world.deps.view.status.degraded !== undefined;
    degraded += Number(isDegraded);
    // Without events a proof or an end is seen at the next reading: what is shown is never more than the chain had.
    if (!isDegraded) expect(await disagreements(world, { exact: hasEvents }), `step ${step}`).toEqual([]);
    // Whatever the nodes do, the next look at a well chain is right.
    await world.door('advance', { epochs: 1 });
    await look(world, null);
    expect(world.deps.view.status.degraded?.reason ?? '', `step ${step}`).not.toMatch(/RPC/);
    if (world.deps.view.status.degraded === undefined)
      expect(await disagreements(world, { exact: hasEvents }), `step ${step}, well`).toEqual([]);
  }
  expect(degraded, 'the faults were there').toBeGreaterThan(0);
  const wasActive = await world.kysely
    .selectFrom('events')
    .select('deal_id')
    .where('to_state', '=', 'active')
    .execute();
  expect(wasActive.length, 'something happened').toBeGreaterThan(0);

  for (let day = 0; day < days; day += 1) {
    await world.door('advance', { epochs: EPOCHS_PER_DAY });
    await look(world, null);
    expect(world.deps.view.status.degraded, `day ${day}`).toBeUndefined();
    if (day % 20 === 0 || day > days - 3)
      expect(await disagreements(world, { exact: hasEvents }), `day ${day}`).toEqual([]);
  }
  const left = await world.kysely
    .selectFrom('deals')
    .select('state')
    .where('state', 'in', ['published', 'active'])
    .execute();
  if (hasEvents) expect(left, 'every term is over').toEqual([]);
  const untold = await world.kysely.selectFrom('chain_differences').selectAll().execute();
  expect(untold).toEqual([]);
});
