import { expect, it } from 'vitest';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';
import { changePolicy } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { proposeAggregate } from '../../../src/deals/propose/propose.ts';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { createSendHandler } from '../../../src/deals/send/send.ts';
import type { ProposeAnswer } from '../../../src/deals/transport/transport.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import { newUuid, scriptedChain, scriptedTransport, settableClock, testWallet } from '../scripted-world.ts';
import { createJobLog, insertSealedAggregate } from '../sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;

it('gets nothing more while it keeps an attempt waiting, so that it does not keep all handlers', async () => {
  await using database = await testDatabase();
  const { jobs, take } = await createJobLog(database.kysely);
  const terms = changePolicy(await findPolicy(database.kysely), ['replicas=1']);
  await insertPolicy(database.kysely, terms, { at: start, by: 'test' });
  const world = scriptedTransport();
  const { clock, advance } = settableClock(start);
  const deps = {
    db: database.kysely,
    jobs,
    chain: scriptedChain().chain,
    wallet: testWallet,
    transport: world.transport,
    pieceTokens: createPieceTokens('a secret of at least 32 characters'),
    publicUrl: 'https://lading.example.com',
    clock,
    random: () => 0,
    newUuid,
    log: silentLog,
  };
  await addProvider(deps, { id: 'f01000' });
  const [one, other] = await Promise.all([sign(1), sign(2)]);
  async function sign(seed: number): Promise<string> {
    const outcome = await proposeAggregate(deps, await insertSealedAggregate(database.kysely, seed, start), signal);
    return outcome.kind === 'signed' ? (outcome.dealIds[0] ?? '') : '';
  }
  await take();

  const { promise, resolve } = Promise.withResolvers<ProposeAnswer>();
  world.answers.propose.set('f01000', () => promise);
  const handle = createSendHandler(deps);
  const waiting = handle([{ dealId: one }], signal);
  await expect.poll(() => world.sent).toHaveLength(1);
  advance(4_000);
  await handle([{ dealId: other }], signal);
  expect(world.sent).toHaveLength(1);
  const startAfter = new Date(start.getTime() + 14_000);
  expect(await take()).toEqual([{ queue: 'send', data: { dealId: other }, startAfter }]);

  resolve({ kind: 'answered', accepted: true, message: '' });
  await waiting;
  await handle([{ dealId: other }], signal);
  expect(world.sent).toHaveLength(2);
});
