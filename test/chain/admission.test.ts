import { expect, test } from 'vitest';
import { createChain } from '../../src/chain/chain.ts';
import { createRpc, type RpcOptions } from '../../src/chain/rpc.ts';
import { LadingError } from '../../src/errors.ts';
import { ask } from './ask.ts';
import { sendJson, sendResult, serveRpc } from '../support/rpc-server.ts';

/** A node whose genesis and head say which chain it serves. */
async function serveChain(chain: { genesis: string; sick?: boolean }) {
  return await serveRpc(({ method }, response) => {
    if (chain.sick === true) return sendJson(response, '<html>', 502);
    return sendResult(response, method === 'Filecoin.ChainGetGenesis' ? tipset(chain.genesis) : chain.genesis);
  });
}

function tipset(cid: string) {
  return { Cids: [{ '/': cid }], Blocks: [{ Timestamp: 1 }], Height: 0 };
}

/** Our chain is the one of genesis `ours`. */
function ownRpc(urls: string[], options: Partial<RpcOptions> = {}) {
  const admit: RpcOptions['admit'] = async (endpoint, signal) => {
    const { key } = await createChain(endpoint).genesis(signal);
    if (key[0] !== 'ours') throw new LadingError('NETWORK_DIFFERS', `serves the chain of genesis ${key[0]}`);
  };
  return createRpc({ endpoints: urls.map((url) => ({ url })), admit, ...options });
}

test('an endpoint of another chain is passed over, and asked again once in a while only', async () => {
  await using foreign = await serveChain({ genesis: 'theirs' });
  await using own = await serveChain({ genesis: 'ours' });
  const rpc = ownRpc([foreign.url, own.url]);
  for (let calls = 0; calls < 3; calls += 1) expect(await ask(rpc)).toBe('ours');
  expect(foreign.requests.map(({ method }) => method)).toEqual(['Filecoin.ChainGetGenesis']);
  expect(own.requests.filter(({ method }) => method === 'Filecoin.ChainGetGenesis')).toHaveLength(1);
  rpc.close();
});

test('a second endpoint of another chain is not believed when the first fails', async () => {
  const state = { genesis: 'ours', sick: false };
  await using own = await serveChain(state);
  await using foreign = await serveChain({ genesis: 'theirs' });
  const rpc = ownRpc([own.url, foreign.url]);
  expect(await ask(rpc)).toBe('ours');
  state.sick = true;
  await expect(ask(rpc)).rejects.toMatchObject({ code: 'NETWORK_DIFFERS' });
  state.sick = false;
  expect(await ask(rpc)).toBe('ours');
  rpc.close();
});

test('an endpoint that comes back from a fault as another chain is not believed', async () => {
  const state = { genesis: 'ours', sick: false };
  await using node = await serveChain(state);
  const rpc = ownRpc([node.url]);
  expect(await ask(rpc)).toBe('ours');
  state.sick = true;
  await expect(ask(rpc)).rejects.toMatchObject({ code: 'RPC_HTTP_STATUS' });
  Object.assign(state, { genesis: 'theirs', sick: false });
  await expect(ask(rpc)).rejects.toMatchObject({ code: 'NETWORK_DIFFERS' });
  rpc.close();
});

test('what was long ago is asked again', async () => {
  let now = 1;
  const state = { genesis: 'ours' };
  await using node = await serveChain(state);
  const rpc = ownRpc([node.url], { clock: { now: () => new Date(now) } });
  expect(await ask(rpc)).toBe('ours');
  state.genesis = 'theirs';
  now += 10 * 60_000;
  await expect(ask(rpc)).rejects.toMatchObject({ code: 'NETWORK_DIFFERS' });
  // And the other way round.
  state.genesis = 'ours';
  await expect(ask(rpc)).rejects.toMatchObject({ code: 'NETWORK_DIFFERS' });
  now += 60_000;
  expect(await ask(rpc)).toBe('ours');
  rpc.close();
});
