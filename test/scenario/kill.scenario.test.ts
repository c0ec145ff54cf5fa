import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { drawFraction } from '../../src/devnet/seeded-draw.ts';
import { packSamples, type Sample } from '../../src/demo/sample-files.ts';
import { checkEverything } from '../checker/check-everything.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { withStoppedDatabase } from './stopped-database.ts';
import { startWorld, REPLICAS, type World } from './world.ts';

const KILLS = 20;
const UPLOADS = 16;
/** Each life of the service is between these long: some end while it is still starting to work, some in the thick of it. */
const SHORTEST_LIFE_MS = 100;
const LONGEST_LIFE_MS = 3_000;
/** Between two uploads. */
const LONGEST_PAUSE_MS = 5_000;
/** All of it, kills included (the issue of a crash is time, and not too much of it). */
const LIMIT_MS = 180_000;
const LOOK_MS = 500;
/** Printed by a failure, so that a run can be repeated: LADING_SEED=… npm test. */
const SEED = process.env['LADING_SEED'] ?? 'twenty moments';

/** Sends again until acknowledged: what a caller does whose connection broke. */
async function sendUntilAcknowledged(world: World, sample: Sample, deadline: number): Promise<void> {
  while (Date.now() < deadline) {
    const acknowledged = await world.upload(sample).then(
      (response) => response.ok,
      () => false,
    );
    if (acknowledged) return;
    await sleep(100);
  }
  throw new Error(`${sample.name} was never acknowledged`);
}

async function sendAll(world: World, deadline: number): Promise<string[]> {
  const sent: string[] = [];
  for await (const sample of packSamples({ seed: SEED, count: UPLOADS })) {
    // The largest sample is for the demo: here many small lives matter.
    if (sample.bytes > 8 * 2 ** 20) continue;
    // Spread over the kills, so that every stage has something in hand at some of them.
    await sleep(drawFraction(SEED, `pause/${sent.length}`) * LONGEST_PAUSE_MS);
    await sendUntilAcknowledged(world, sample, deadline);
    sent.push(sample.root.toString());
  }
  return sent;
}

async function killAndRestart(service: ServiceProcess): Promise<void> {
  for (let kill = 0; kill < KILLS; kill += 1) {
    const lifeMs = SHORTEST_LIFE_MS + drawFraction(SEED, `life/${kill}`) * (LONGEST_LIFE_MS - SHORTEST_LIFE_MS);
    await sleep(lifeMs);
    await service.kill();
    await service.start();
  }
}

async function untilAllActive(world: World, cids: string[], deadline: number): Promise<void> {
  const waiting = new Set(cids);
  while (waiting.size > 0) {
    for (const cid of waiting) {
      const pieces = [...(await world.activeProviders(cid)).values()];
      if (pieces.length > 0 && pieces.every((active) => active.length === REPLICAS)) waiting.delete(cid);
    }
    if (Date.now() > deadline) throw new Error(`not active in time: ${await world.describe([...waiting])}`);
    await sleep(LOOK_MS);
  }
}

/** Every time a provider was sent a proposal, by deal: the signed bytes must be the same each time. */
function resendsThatDiffer(world: World): string[] {
  const first = new Map<string, string>();
  return world.proposals.flatMap(({ deal, signedProposal }) => {
    const before = first.get(deal);
    if (before === undefined) first.set(deal, signedProposal);
    return before === undefined || before === signedProposal ? [] : [deal];
  });
}

test(`killed at ${KILLS} moments (seed '${SEED}'), the service loses no upload and proposes nothing twice`, async () => {
  const deadline = Date.now() + LIMIT_MS;
  await using folder = await temporaryFolder();
  await using world = await startWorld(folder.path, SEED);
  const service = new ServiceProcess(world.env);
  try {
    await service.start();
    await world.prepare();
    const [sent] = await Promise.all([sendAll(world, deadline), killAndRestart(service)]);
    await untilAllActive(world, sent, deadline);
    for (const cid of sent) {
      for (const providers of (await world.activeProviders(cid)).values()) {
        expect(new Set(providers).size, `${cid} has its replicas at different providers`).toBe(REPLICAS);
      }
    }
    expect(resendsThatDiffer(world)).toEqual([]);
    expect(await service.stop(), 'SIGTERM ends it in order').toBe(0);
  } catch (error) {
    throw new Error(`seed '${SEED}':\n${service.log}`, { cause: error });
  } finally {
    await service.kill();
  }
  const broken = await withStoppedDatabase(world.dataDir, (databaseUrl) =>
    checkEverything({ databaseUrl, store: join(world.dataDir, 'store'), rpcUrl: world.rpcUrl }),
  );
  expect(broken).toEqual([]);
});
