import { afterAll, beforeAll, expect, it } from 'vitest';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { findProvider } from '../../../src/deals/providers/provider-store.ts';
import { changePolicy } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { listChoices } from '../../../src/deals/propose/choice-store.ts';
import { proposeAggregate, type ProposeDeps } from '../../../src/deals/propose/propose.ts';
import type { Ask, AskAnswer } from '../../../src/deals/transport/transport.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import { freeAsk, newUuid, scriptedChain, scriptedTransport, settableClock, testWallet } from '../scripted-world.ts';
import { createJobLog, insertSealedAggregate } from '../sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;

let database: Awaited<ReturnType<typeof testDatabase>>;
let jobLog: Awaited<ReturnType<typeof createJobLog>>;
let seed = 0;

beforeAll(async () => {
  database = await testDatabase();
  jobLog = await createJobLog(database.kysely);
  const terms = changePolicy(await findPolicy(database.kysely), ['replicas=2']);
  await insertPolicy(database.kysely, terms, { at: start, by: 'test' });
});
afterAll(() => database[Symbol.asyncDispose]());

/** Two slots; f01000 answers as given, f01001 well. */
async function proposeBeside(answer: AskAnswer) {
  const world = scriptedTransport();
  world.answers.ask.set('f01000', answer);
  const deps: ProposeDeps = {
    db: database.kysely,
    jobs: jobLog.jobs,
    chain: scriptedChain().chain,
    wallet: testWallet,
    transport: world.transport,
    clock: settableClock(start).clock,
    random: () => 0,
    newUuid,
    log: silentLog,
  };
  for (const id of ['f01000', 'f01001']) await addProvider(deps, { id });
  seed += 1;
  const aggregateId = await insertSealedAggregate(database.kysely, seed, start);
  const outcome = await proposeAggregate(deps, aggregateId, signal);
  const [choice] = await listChoices(database.kysely, aggregateId, { limit: 1 });
  return { outcome, choice };
}

it.each<[string, Partial<Ask>]>([
  ['a negative price', { price: -1n, verifiedPrice: -1n }],
  ['a price of a hundred digits', { price: 10n ** 100n, verifiedPrice: 10n ** 100n }],
  ['a smallest piece beyond all sizes', { minPieceBytes: 2n ** 64n - 1n, maxPieceBytes: 2n ** 64n - 1n }],
])('an ask with %s rules its provider out, and holds up nobody else', async (_what, change) => {
  const { outcome, choice } = await proposeBeside({ kind: 'answered', ask: freeAsk('f01000', change) });
  expect(outcome).toMatchObject({ kind: 'signed', dealIds: [expect.any(String)] });
  expect(choice?.chosen).toMatchObject([{ provider: 'f01001' }]);
  expect(choice?.refused).toContainEqual(expect.objectContaining({ provider: 'f01000', code: 'ask' }));
});

it('an ask that takes pieces of any size is as good as one for the largest there are', async () => {
  const { outcome } = await proposeBeside({
    kind: 'answered',
    ask: freeAsk('f01000', { maxPieceBytes: 2n ** 64n - 1n }),
  });
  expect(outcome).toMatchObject({ kind: 'signed', dealIds: [expect.any(String), expect.any(String)] });
  expect((await findProvider(database.kysely, 'f01000'))?.ask?.maxPieceBytes).toBe(2n ** 63n - 1n);
});

it('words of a provider that PostgreSQL does not take stand in a choice without what it does not take', async () => {
  const { outcome, choice } = await proposeBeside({ kind: 'unknown', why: 'bad\u0000word \ud800 \u001b[2J' });
  expect(outcome).toMatchObject({ kind: 'signed' });
  const refusal = choice?.refused.find(({ provider }) => provider === 'f01000');
  expect(refusal?.reason).toContain('bad word \ufffd  [2J');
});
