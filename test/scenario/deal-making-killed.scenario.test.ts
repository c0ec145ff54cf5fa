import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { PersonaName } from '../../src/devnet/provider/provider-persona.ts';
import { drawFraction } from '../../src/devnet/seeded-draw.ts';
import { testDatabase } from '../support/database.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { expectTruths, SEED, untilFull, withTally } from './deal-making-story.ts';
import { PIECE_BYTES, startDealWorld } from './deal-making-world.ts';
import { freePort } from './network.ts';

/** `LADING_KILLS=200` is the longer form. */
const KILLS = Number(process.env['LADING_KILLS'] ?? 6);
const KILL_LIMIT_MS = 150_000 + 10_000 * KILLS;
/** Longer than the half minute that a killed process's jobs and leases wait for another, several times over. */
const KILL_START_DELAY_EPOCHS = 2_000;
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
  `aggregates get all their replicas from %i process(es) of the deals role, killed at ${KILLS} moments (seed '${SEED}')`,
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
