import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { Database } from '../../src/db/connect.ts';
import { personaNames, type PersonaName, type PersonaPatch } from '../../src/devnet/provider/provider-persona.ts';
import { drawFraction } from '../../src/devnet/seeded-draw.ts';
import { checkEverything } from '../checker/check-everything.ts';
import { testDatabase } from '../support/database.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  crowdedSlots,
  disagreements,
  doubles,
  doublesOnLedger,
  endings,
  peaks,
  resendsThatDiffer,
} from './deal-making-truths.ts';
import {
  MAX_IN_FLIGHT_BYTES,
  MAX_PER_REGION,
  PIECE_BYTES,
  REPLICAS,
  startDealWorld,
  type DealWorld,
} from './deal-making-world.ts';
import { freePort } from './network.ts';

/** Printed by a failure, so that a run can be repeated: LADING_SEED=… npm test. */
const SEED = process.env['LADING_SEED'] ?? 'all kinds';
/** `LADING_AGGREGATES=400` is the longer form. */
const AGGREGATES = Number(process.env['LADING_AGGREGATES'] ?? 40);
/** `LADING_KILLS=200` is the longer form. */
const KILLS = Number(process.env['LADING_KILLS'] ?? 6);
const LIMIT_MS = 200_000 + 2_000 * AGGREGATES;
const KILL_LIMIT_MS = 150_000 + 10_000 * KILLS;
const LOOK_MS = 500;
/** 25 s: what a deal that comes to nothing costs. */
const START_DELAY_EPOCHS = 250;
/** Longer than the half minute that a killed process's jobs and leases wait for another, several times over. */
const KILL_START_DELAY_EPOCHS = 2_000;
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

async function activeByAggregate({ kysely }: Database): Promise<number[]> {
  const { rows } = await sql<{ active: number }>`select count(d.id) filter (where d.state = 'active')::integer as active
    from aggregates a left join deals d on d.aggregate_id = a.id where a.state = 'sealed' group by a.id`.execute(
    kysely,
  );
  return rows.map(({ active }) => active);
}

async function untilSpent(database: Database, dataCapBytes: number, deadline: number): Promise<void> {
  while ((await peaks(database)).dataCapBytes < dataCapBytes && Date.now() < deadline) await sleep(LOOK_MS);
}

async function tally({ kysely }: Database): Promise<string> {
  const { rows } = await sql<object>`select provider_id, state, reason_code, count(*)::integer from deals
    group by 1, 2, 3 order by 1, 2, 3`.execute(kysely);
  return rows.map((row) => Object.values(row).join(' ')).join('\n');
}

async function untilFull(database: Database, deadline: number): Promise<void> {
  for (;;) {
    const active = await activeByAggregate(database);
    if (active.every((count) => count === REPLICAS)) return;
    if (Date.now() > deadline) throw new Error(`not all are active in time: ${active.join(' ')}`);
    await sleep(LOOK_MS);
  }
}

interface Limits {
  dataCapBytes: number;
  startDelayEpochs: number;
}

async function expectTruths(database: Database, world: DealWorld, limits: Limits): Promise<void> {
  expect(await doubles(database), 'at most one proposal lives at a provider').toEqual([]);
  expect(await crowdedSlots(database), 'at most one deal fills a slot').toEqual([]);
  expect(doublesOnLedger(world.devnet, limits.startDelayEpochs), 'nor does the chain show two').toEqual([]);
  expect(resendsThatDiffer(world)).toEqual([]);
  expect(await disagreements(database, world.devnet)).toEqual([]);
  const most = await peaks(database);
  expect(most.dataCapBytes, 'DataCap promised or spent').toBeLessThanOrEqual(limits.dataCapBytes);
  expect(BigInt(most.escrow), 'escrow promised or locked').toBeLessThanOrEqual(1_000n * 10n ** 18n);
  expect(most.inFlightBytes).toBeLessThanOrEqual(MAX_IN_FLIGHT_BYTES);
  expect(most.perRegion).toBeLessThanOrEqual(MAX_PER_REGION);
  const { devnet, store } = world;
  expect(await checkEverything({ databaseUrl: database.url, store, rpcUrl: devnet.rpcUrl })).toEqual([]);
}

async function withTally<T>(
  database: Database,
  services: readonly ServiceProcess[],
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const logs = services.map(({ log }) => log).join('\n---\n');
    throw new Error(`seed '${SEED}':\n${await tally(database)}\n${logs}`, { cause });
  }
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

const SHORTEST_LIFE_MS = 50;
const LONGEST_LIFE_MS = 3_000;
/** No kind that holds a deal up until its start: in a kill's half minute of dead leases that would be too soon. */
const hasty: readonly PersonaName[] = [
  ...([
    'refuse',
    'drop',
    'curio',
    'loseAnswers',
    'halveAnswers',
    'takeDuplicates',
    'mistakeCommP',
    'lieDealId',
  ] as const),
  ...(['normal', 'normal', 'normal', 'normal'] as const),
];

test.for([1, 2])(
  `the same with %i process(es) of the deals role, killed at ${KILLS} moments (seed '${SEED}')`,
  {
    timeout: KILL_LIMIT_MS + 60_000,
  },
  async (processes) => {
    await using folder = await temporaryFolder();
    await using database = await testDatabase();
    const dataCapBytes = (10 + KILLS) * 8 * PIECE_BYTES;
    await using world = await startDealWorld({
      folder: folder.path,
      seed: SEED,
      database,
      personas: hasty.map((name) => ({ name })),
      startDelayEpochs: KILL_START_DELAY_EPOCHS,
      dataCapBytes,
    });
    await world.seal(10);
    await world.prepare();
    const ports = await Promise.all(Array.from({ length: processes }, freePort));
    const services = ports.map((port) => new ServiceProcess({ ...world.dealsEnv, PORT: String(port) }));
    try {
      await withTally(database, services, async () => {
        await Promise.all(services.map((service) => service.start()));
        for (let kill = 0; kill < KILLS; kill += 1) {
          const more = world.seal(1);
          const spanMs = LONGEST_LIFE_MS - SHORTEST_LIFE_MS;
          await sleep(SHORTEST_LIFE_MS + drawFraction(SEED, `life/${processes}/${kill}`) * spanMs);
          const service = services[kill % processes];
          await service?.kill();
          await service?.start();
          await more;
        }
        await untilFull(database, Date.now() + KILL_LIMIT_MS);
        await expectTruths(database, world, { dataCapBytes, startDelayEpochs: KILL_START_DELAY_EPOCHS });
      });
      for (const service of services) expect(await service.stop()).toBe(0);
    } finally {
      for (const service of services) await service.kill();
    }
  },
);
