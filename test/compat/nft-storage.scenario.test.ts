import { randomFillSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { REPLICAS, startWorld, UPLOAD_TOKEN } from '../scenario/world.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { isInstalled, loadNftStorage, type Found, type NftStorage } from './nft-storage.ts';

/** `.ci/run` has 250 MB stored, in parts of 50 MB as the client makes them: hashing them so many times takes a while. */
const LARGE_BYTES = Number(process.env['COMPAT_BYTES'] ?? 10_000_000);
const PARTS = 5;
const LIMIT_MS = 200_000;
const LOOK_MS = 250;

/** `check` of the client, until all replicas are active. */
async function untilActive(client: NftStorage, cid: string, endpoint: URL): Promise<Found> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const found = await client.check(cid);
    if (found.deals.filter(({ status }) => status === 'active').length >= REPLICAS) return found;
    if (Date.now() > deadline) {
      const response = await fetch(new URL(`check/${cid}`, endpoint));
      throw new Error(`${cid} is not active in time: ${await response.text()}`);
    }
    await sleep(LOOK_MS);
  }
}

test.skipIf(!isInstalled)(
  'nft.storage 7 stores tokens, directories and a large file, and sees them become active',
  async () => {
    const { NFTStorage, File, Blob } = await loadNftStorage();
    await using folder = await temporaryFolder();
    await using world = await startWorld(folder.path, 'nft.storage 7');
    // One aggregate holds all of it.
    const service = new ServiceProcess({ ...world.env, PIECE_SIZE: '512MiB' });
    try {
      await service.start();
      await world.prepare();
      const endpoint = new URL(world.url);
      // Its own would wait between looks.
      const client = new NFTStorage({ token: UPLOAD_TOKEN, endpoint, rateLimiter: async () => undefined });
      const image = new File(['<svg xmlns="http://www.w3.org/2000/svg"/>'], 'image.svg', { type: 'image/svg+xml' });
      const { ipnft } = await client.store({ name: 'a token', description: 'of the test', image });
      const directory = await client.storeDirectory([new File(['one'], 'one.txt'), new File(['two'], 'below/two.txt')]);
      const { car } = await NFTStorage.encodeBlob(new Blob([randomFillSync(new Uint8Array(LARGE_BYTES))]));
      const parts: number[] = [];
      const large = await client.storeCar(car, {
        maxChunkSize: LARGE_BYTES / PARTS,
        onStoredChunk: (bytes) => parts.push(bytes),
      });
      expect(parts.length, 'sent in parts').toBeGreaterThanOrEqual(PARTS);
      expect((await client.status(large)).size).toBeGreaterThan(LARGE_BYTES);
      for (const cid of [ipnft, directory, large]) {
        const { deals, pin } = await untilActive(client, cid, endpoint);
        expect(pin.status).toBe('pinned');
        for (const deal of deals.filter(({ status }) => status === 'active')) {
          expect(deal.chainDealID).toEqual(expect.any(Number));
          expect(deal.datamodelSelector).toMatch(/^(Links\/\d+\/Hash\/?)+$/);
          expect(deal.lastChanged.getTime()).not.toBeNaN();
        }
      }
    } catch (error) {
      throw new Error(service.log, { cause: error });
    } finally {
      await service.kill();
    }
  },
);
