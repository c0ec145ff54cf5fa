import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Database } from '../../src/db/connect.ts';
import { personaNames, type PersonaName, type PersonaPatch } from '../../src/devnet/provider/provider-persona.ts';
import { testDatabase } from '../support/database.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { expectTruths, LOOK_MS, SEED, untilFull, withTally } from './deal-making-story.ts';
import { endings, peaks } from './deal-making-truths.ts';
import { PIECE_BYTES, REPLICAS, startDealWorld } from './deal-making-world.ts';
import { freePort } from './network.ts';

/** `LADING_AGGREGATES=400` is the longer form. */
const AGGREGATES = Number(process.env['LADING_AGGREGATES'] ?? 40);
const LIMIT_MS = 200_000 + 2_000 * AGGREGATES;
/** 25 s: what a deal that comes to nothing costs. */
const START_DELAY_EPOCHS = 250;
/** Until a scarce DataCap is all promised. */
const SCARCE_MS = 60_000 + 1_000 * AGGREGATES;

/** The knobs that a kind needs to show itself within a scenario's seconds. */
const patches: Partial<Record<PersonaName, PersonaPatch>> = {
  slow: { answerDelayMs: 1_000 },
  trickle: { fetchBytesPerSecond: 128 * 1_024 },
  publishLate: { publishDelayEpochs: 60 },
  publishElapsed: { publishDelayEpochs: 400, publishElapsed: true },
};

/** How deals end at each kind of provider that keeps none. */
const rightEndings: Partial<Record<PersonaName, readonly string[]>> = {
  refuse: ['rejected: mode_refused'],
  hang: ['abandoned: not_published'],
  neverFetch: ['abandoned: transfer_stalled'],
  mistakeCommP: ['failed: provider_failed'],
  publishElapsed: ['abandoned: not_published'],
  changeTerms: ['abandoned: not_published'],
  neverProve: ['missed: not_proven'],
};
/** On a busy machine any deal may be late for its start, and a provider then says so itself. */
const lateEndings = ['abandoned: not_published', 'failed: provider_failed', 'missed: not_proven'];

async function untilSpent(database: Database, dataCapBytes: number, deadline: number): Promise<void> {
  while ((await peaks(database)).dataCapBytes < dataCapBytes && Date.now() < deadline) await sleep(LOOK_MS);
}

test(`${AGGREGATES} aggregates get ${REPLICAS} replicas each among providers of every kind (seed '${SEED}')`, {
  timeout: LIMIT_MS + 60_000,
}, async () => {
  await using folder = await temporaryFolder();
  await using database = await testDatabase();
  const good = Array.from({ length: 7 }, () => ({ name: 'normal' as const }));
  const kinds = personaNames().map((name) => ({ name, patch: patches[name] ?? {} }));
  const personas = [...kinds, ...good];
  // First too little for all, so that what is free has to be counted; then enough for those that fail, too.
  const scarce = AGGREGATES * 2 * PIECE_BYTES;
  const plenty = AGGREGATES * 8 * PIECE_BYTES;
  await using world = await startDealWorld({
    folder: folder.path,
    seed: SEED,
    database,
    personas,
    startDelayEpochs: START_DELAY_EPOCHS,
    dataCapBytes: scarce,
  });
  await world.seal(AGGREGATES);
  await world.prepare();
  const service = new ServiceProcess({ ...world.dealsEnv, PORT: String(await freePort()) });
  try {
    await withTally(database, [service], async () => {
      await service.start();
      await untilSpent(database, scarce, Date.now() + SCARCE_MS);
      await sleep(LOOK_MS);
      expect((await peaks(database)).dataCapBytes, 'all of a scarce DataCap, and no more').toBe(scarce);
      await world.addDataCap(plenty - scarce);
      await untilFull(database, Date.now() + LIMIT_MS);
      await expectTruths(database, world, { dataCapBytes: plenty, startDelayEpochs: START_DELAY_EPOCHS });
      for (const [persona, ends] of await endings(database, world)) {
        const right = rightEndings[persona as PersonaName] ?? [];
        expect([...right, ...lateEndings], `endings at ${persona}`).toEqual(expect.arrayContaining([...ends]));
        expect([...ends], `endings at ${persona}`).toEqual(expect.arrayContaining([...right]));
      }
    });
    expect(await service.stop()).toBe(0);
  } finally {
    await service.kill();
  }
});
