import { expect, test } from 'vitest';
import { createChain } from '../../../src/chain/chain.ts';
import { createRpc } from '../../../src/chain/rpc.ts';
import { checkFinality } from '../../../src/doctor/check-finality.ts';
import { acceptChain, compareFinality } from '../../../src/deals/watch/accept-chain.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { openWatch } from '../../support/watch-fixture.ts';

const signal = new AbortController().signal;

test('a chain that contradicts what was final is taken once a person says so', async () => {
  const chain = new ScriptedChain();
  Object.assign(chain, { head: 2_000, finalized: 1_900 });
  await using server = await chain.serve();
  await using watched = await openWatch({ rpcUrl: server.url });
  using stack = new DisposableStack();
  const rpc = stack.adopt(createRpc({ endpoints: [{ url: server.url }] }), (open) => open.close());
  const given = { db: watched.kysely, chain: createChain(rpc), at: watched.clock.now() };
  expect(await compareFinality(given.db, given.chain, signal)).toEqual({ kind: 'nothing_final' });
  const deal = await watched.seed({ startEpoch: 5_000 });
  await watched.watch();
  const onChain = chain.publish(deal.onChain);
  chain.head += 20;
  await watched.watch();
  expect((await watched.deal(deal.id)).state).toBe('published');
  expect(await acceptChain(given, { by: 'test' }, signal)).toEqual({ finding: { kind: 'agrees', epoch: 1_900 } });

  chain.reorg(1_500);
  chain.head += 20;
  await watched.watch();
  const reason = () => watched.deps.view.status.degraded?.reason;
  expect(reason()).toBe('the node shows another tipset at epoch 1900, which was final');
  expect((await watched.deal(deal.id)).state).toBe('published');

  const named = { name: 'node:1', chain: given.chain, db: given.db };
  const [found] = await checkFinality(named, signal);
  expect(found).toMatchObject({ ok: false, advice: expect.stringContaining('lading doctor --accept-chain node:1') });

  const accepted = await acceptChain(given, { by: 'test', reason: 'the old node was wrong' }, signal);
  expect(accepted).toEqual({ finding: { kind: 'broken', epoch: 1_900 }, above: 1_000 });
  await watched.watch();
  expect(await checkFinality(named, signal)).toMatchObject([{ ok: true }]);
  expect(reason()).toBeUndefined();
  expect(onChain.publishedAt).toBeGreaterThan(1_500);
  expect((await watched.deal(deal.id)).state).toBe('accepted');
  expect(await watched.kysely.selectFrom('audit').selectAll().execute()).toMatchObject([
    { actor: 'test', action: 'chain.accept', subject: 'epoch 1900', reason: 'the old node was wrong' },
  ]);
});
