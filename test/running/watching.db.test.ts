import { expect, test } from 'vitest';
import { createChain, createChainPool } from '../../src/chain/chain.ts';
import { createRpc } from '../../src/chain/rpc.ts';
import { readConfig } from '../../src/config.ts';
import { whileWatcher } from '../../src/deals/watch/chain-cursor-store.ts';
import { silentLog } from '../../src/log/log.ts';
import { openNetwork } from '../../src/network.ts';
import { createWatching } from '../../src/running/watching.ts';
import { testDatabase } from '../support/database.ts';
import { sendJson, sendResult, serveRpc } from '../support/rpc-server.ts';

const signal = new AbortController().signal;
const start = new Date('2026-03-01T00:00:00Z');

/** The watch of a devnet's node that can be sick, or serve a chain of another genesis. */
async function watchOf(node: { genesis: string; sick: boolean }) {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await testDatabase());
  const server = stack.use(
    await serveRpc(({ method }, response) => {
      if (node.sick) return sendJson(response, '<html>', 502);
      const isGenesis = method === 'Filecoin.ChainGetGenesis';
      const cid = isGenesis ? node.genesis : 'bafyhead';
      const Height = isGenesis ? 0 : 100;
      return sendResult(response, { Cids: [{ '/': cid }], Blocks: [{ Timestamp: 1_700_000_000 }], Height });
    }),
  );
  const network = await openNetwork(database.kysely, 'devnet');
  const clock = { now: () => start };
  const rpc = stack.adopt(
    createRpc({
      endpoints: [{ url: server.url }],
      clock,
      admit: (endpoint, until) => network.meet(createChain(endpoint), until),
    }),
    (open) => open.close(),
  );
  const config = readConfig({ CHAIN_NETWORK: 'devnet', CHAIN_RPC_URL: server.url, LOOKBACK_EPOCHS: '0' }, 'tool');
  const jobs = { send: () => Promise.resolve() };
  const base = { chain: createChainPool(rpc), clock, config, database, jobs, log: silentLog, network };
  const open = () => {
    const watching = createWatching(base);
    if (watching === undefined) throw new Error('no chain is configured');
    return watching;
  };
  return { open, kysely: database.kysely, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('a chain that does not answer at start is told, and how old what is shown is', async () => {
  const node = { genesis: 'ours', sick: false };
  await using world = await watchOf(node);
  const first = world.open();
  await first.step(signal);
  expect(first.view()).toEqual({ asOf: start, degraded: [] });

  node.sick = true;
  const second = world.open();
  await second.tryOwnChain(signal);
  const degraded = [expect.stringMatching(/^ChainGetGenesis: answered HTTP 502 \(since /)];
  expect(second.view(), 'no host is named').toEqual({ asOf: start, degraded, fault: { since: start } });
  await expect(second.step(signal)).rejects.toThrow('HTTP 502');
  expect(second.view().degraded).toHaveLength(1);

  node.sick = false;
  await second.step(signal);
  expect(second.view()).toEqual({ asOf: start, degraded: [] });
});

test('an endpoint that becomes another chain is told, and nothing of it is believed', async () => {
  const node = { genesis: 'ours', sick: false };
  await using world = await watchOf(node);
  const watching = world.open();
  await watching.step(signal);
  node.sick = true;
  await watching.step(signal);
  Object.assign(node, { genesis: 'theirs', sick: false });
  expect(await watching.step(signal)).toBe(false);
  expect(watching.view().degraded).toEqual([expect.stringContaining('serves the chain of genesis theirs')]);
});

test('while another process watches, what that one left is shown', async () => {
  await using world = await watchOf({ genesis: 'ours', sick: false });
  await world.open().step(signal);
  const other = world.open();
  expect(other.view().asOf).toBeUndefined();
  await whileWatcher(world.kysely, () => other.step(signal));
  expect(other.view()).toEqual({ asOf: start, degraded: [] });
});
