import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Piece } from '@web3-storage/data-segment';
import { describe, expect, test } from 'vitest';
import { packSamples, type Sample } from '../../src/demo/sample-files.ts';
import { openS3Store } from '../../src/storage/s3-store.ts';
import { bucketFiles } from '../checker/check-objects.ts';
import { checkEverything } from '../checker/check-everything.ts';
import { withStoppedDatabase } from '../scenario/stopped-database.ts';
import { REPLICAS, startWorld, type World } from '../scenario/world.ts';
import { car, inChunks, pbNode, rawBlock } from '../support/car-builder.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { BUILD_MS, findVersitygw, startVersitygw, type S3Server } from '../support/versitygw.ts';
import { pattern } from './conformance.ts';

const binary = findVersitygw();
const SEED = 'a life in a bucket';
const BUCKET = 'lading-test';
const PREFIX = 'one/service';
const LIMIT_MS = 120_000;
const SMALL_COUNT = 4;
/** More than one part of a multipart upload. */
const LARGE_LEAVES = 12;

function largeSample(): Sample {
  const leaves = Array.from({ length: LARGE_LEAVES }, (_, at) => rawBlock(pattern(2 ** 20 - at)));
  const root = pbNode(leaves);
  const bytes = car([root.cid], [root, ...leaves]);
  return {
    name: 'large',
    root: root.cid,
    bytes: bytes.length,
    car: { [Symbol.asyncIterator]: () => inChunks(bytes, 65_536) },
  };
}

/** Small uploads, and one that goes to S3 in parts. */
async function packAll(): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const sample of packSamples({ seed: SEED, count: SMALL_COUNT })) samples.push(sample);
  return [...samples, largeSample()];
}

function s3Environment(server: S3Server): Record<string, string> {
  return {
    STORE_URL: `s3://${BUCKET}/${PREFIX}?endpoint=${encodeURIComponent(server.endpoint)}`,
    AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
    PIECE_SIZE: '32MiB',
  };
}

async function untilActive(world: World, cid: string): Promise<string> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const pieces = [...(await world.activeProviders(cid))];
    const kept = pieces.find(([, providers]) => providers.length === REPLICAS);
    if (kept !== undefined) return kept[0];
    if (Date.now() > deadline) throw new Error(`not active in time: ${await world.describe([cid])}`);
    await sleep(200);
  }
}

async function fetchPieceCid(world: World, pieceCid: string): Promise<string> {
  const response = await world.get(`/piece/${pieceCid}`);
  expect(response.status).toBe(200);
  return Piece.fromPayload(new Uint8Array(await response.arrayBuffer()))
    .toInfo()
    .link.toString();
}

/** While the store is gone uploads are told to come back, and afterwards they are taken. */
async function loseStore(world: World, server: S3Server, sample: Sample): Promise<void> {
  await server.stop();
  const refused = await world.upload(sample);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: 'STORE_UNAVAILABLE' } });
  expect((await world.get('/readyz')).status).toBe(503);
  await server.start();
  expect((await world.get('/readyz')).status).toBe(200);
}

async function expectOnlyObjects(world: World, server: S3Server): Promise<void> {
  const url = { bucket: BUCKET, prefix: PREFIX, endpoint: server.endpoint, region: 'us-east-1' };
  const store = await openS3Store(url, server.credentials);
  expect(await store.sweepStaging(0), 'parts of unfinished uploads').toBe(0);
  store.close();
  await expect(stat(join(world.dataDir, 'store')), 'a local store').rejects.toMatchObject({ code: 'ENOENT' });
}

describe.skipIf(binary === undefined)('a service on S3', () => {
  test(
    'receives, seals and serves from a bucket, over a kill and a lost store',
    async () => {
      await using folder = await temporaryFolder();
      await using server = await startVersitygw(binary ?? '');
      await mkdir(join(server.root, BUCKET));
      await using world = await startWorld(folder.path, SEED);
      const service = new ServiceProcess({ ...world.env, ...s3Environment(server) });
      try {
        await service.start();
        await world.prepare();
        const samples = await packAll();
        const [first, ...others] = samples;
        const [second] = others;
        if (first === undefined || second === undefined) throw new Error('there are too few samples');
        expect((await world.upload(first)).status).toBe(200);
        await loseStore(world, server, second);
        for (const sample of others) expect((await world.upload(sample)).status).toBe(200);
        await service.kill();
        await service.start();
        const pieces = new Set<string>();
        for (const { root } of samples) pieces.add(await untilActive(world, root.toString()));
        for (const piece of pieces) expect(await fetchPieceCid(world, piece)).toBe(piece);
        expect(await service.stop(), 'SIGTERM ends it in order').toBe(0);
        expect(service.log).not.toContain(server.credentials.secretAccessKey);
        await expectOnlyObjects(world, server);
      } catch (error) {
        throw new Error(service.log, { cause: error });
      } finally {
        await service.kill();
      }
      const store = bucketFiles(join(server.root, BUCKET), PREFIX);
      const broken = await withStoppedDatabase(world.dataDir, (databaseUrl) =>
        checkEverything({ databaseUrl, store, rpcUrl: world.rpcUrl }),
      );
      expect(broken).toEqual([]);
    },
    BUILD_MS,
  );
});
