import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { describeError } from '../../src/errors.ts';
import { openS3Store, type S3Store } from '../../src/storage/s3-store.ts';
import type { S3Place } from '../../src/storage/s3-url.ts';
import { gather } from '../support/gather.ts';
import { BUILD_MS, findVersitygw, startVersitygw, type S3Server } from '../support/versitygw.ts';
import { describeStore, get, LARGE_BYTES, pattern, put, type StoreUnderTest } from './conformance.ts';
import { startFaultyProxy, type Fault, type FaultyProxy } from './faulty-proxy.ts';

const binary = findVersitygw();

describe.skipIf(binary === undefined)('against versitygw', () => {
  let server: S3Server;
  let client: S3Client;

  beforeAll(async () => {
    server = await startVersitygw(binary ?? '');
    const { endpoint, credentials } = server;
    client = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true });
  }, BUILD_MS);

  afterAll(async () => {
    client.destroy();
    await server[Symbol.asyncDispose]();
  });

  /** A bucket of its own; a folder of the server's is one. */
  async function newPlace(prefix: string): Promise<S3Place> {
    const bucket = `b-${randomUUID()}`;
    await mkdir(join(server.root, bucket));
    return { bucket, prefix, endpoint: server.endpoint, region: 'us-east-1' };
  }

  async function listStaged({ bucket, prefix }: S3Place): Promise<string[]> {
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
    return (Uploads ?? []).map(({ Key }) => Key ?? '');
  }

  async function open(prefix = 'of/lading'): Promise<StoreUnderTest & { store: S3Store; place: S3Place }> {
    const place = await newPlace(prefix);
    const store = await openS3Store(place, server.credentials);
    return {
      store,
      place,
      reopen: () => openS3Store(place, server.credentials),
      staged: () => listStaged(place),
      [Symbol.asyncDispose]: async () => store.close(),
    };
  }

  describeStore('the S3 store', open);

  test('a list of more than one page is whole', async () => {
    await using at = await open('');
    const folder = join(server.root, at.place.bucket, 'runs');
    await mkdir(folder);
    const keys = Array.from({ length: 1_050 }, (_, index) => `runs/${String(index).padStart(4, '0')}`);
    for (let first = 0; first < keys.length; first += 50) {
      await Promise.all(keys.slice(first, first + 50).map((key) => put(at.store, key, [pattern(1)])));
    }
    expect((await gather(at.store.list())).map(({ key }) => key).sort()).toEqual(keys);
  });

  test('a store sees nothing of its neighbours in the bucket', async () => {
    await using at = await open('one');
    const neighbour = await openS3Store({ ...at.place, prefix: 'one-more' }, server.credentials);
    await put(neighbour, 'runs/a', [pattern(10)]);
    expect(await gather(at.store.list())).toEqual([]);
    expect(await at.store.size('runs/a')).toBeUndefined();
    const staged = await neighbour.stage('runs/b');
    await staged.write(pattern(LARGE_BYTES));
    expect(await at.store.sweepStaging(0)).toBe(0);
    await staged.commit();
    neighbour.close();
  });

  test.each([
    ['a wrong secret', { secretAccessKey: 'wrong-secret-0123456789' }, {}, 'STORE_DENIED'],
    ['an unknown key', { accessKeyId: 'nobody-we-know' }, {}, 'STORE_DENIED'],
    ['no such bucket', {}, { bucket: 'no-such-bucket' }, 'STORE_NO_BUCKET'],
    ['no server', {}, { endpoint: 'http://127.0.0.1:1' }, 'STORE_UNAVAILABLE'],
  ])('%s shows at start, and no secret does', async (_, credentials, place, code) => {
    const used = { ...server.credentials, ...credentials };
    const opened = openS3Store({ ...(await newPlace('')), ...place }, used);
    const fault: unknown = await opened.catch((error: unknown) => error);
    expect(fault).toMatchObject({ code });
    const shown = inspect(fault, { depth: 20, showHidden: true }) + describeError(fault) + JSON.stringify(fault);
    expect(shown).not.toContain(used.secretAccessKey);
    expect(shown).not.toMatch(/signature=|AWS4-HMAC/i);
  });

  describe('behind a network that fails', () => {
    let proxy: FaultyProxy;
    let store: S3Store;
    let place: S3Place;

    beforeEach(async () => {
      proxy = await startFaultyProxy(server.endpoint);
      place = { ...(await newPlace('of/lading')), endpoint: proxy.endpoint };
      store = await openS3Store(place, server.credentials);
    });

    afterEach(async () => {
      store.close();
      await proxy[Symbol.asyncDispose]();
    });

    /** Plans a fault for the first so many requests that match. */
    function planFor(fault: Fault, match: RegExp, times = 1): void {
      let left = times;
      proxy.plan = ({ method, path }) => (match.test(`${method} ${path}`) && left-- > 0 ? fault : undefined);
    }

    test('a body that breaks is read on from where it broke', async () => {
      const bytes = pattern(1_000_000);
      await put(store, 'runs/a', [bytes]);
      planFor({ cut: 100_000 }, /^GET/, 4);
      expect((await get(store, 'runs/a', 1, 999_999)).equals(bytes.subarray(1))).toBe(true);
      expect(proxy.asked.filter(({ method }) => method === 'GET').length).toBeGreaterThan(4);
    });

    test('a store that only ever breaks off is unavailable, not silent', async () => {
      await put(store, 'runs/a', [pattern(1_000_000)]);
      planFor({ cut: 0 }, /^GET/, Infinity);
      await expect(get(store, 'runs/a', 0, 1_000_000)).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        retry: 'later',
      });
    });

    test.each<[string, Fault, RegExp, number]>([
      ['a small object whose request is dropped', 'drop', /^PUT/, 1_000],
      ['a small object whose answer is lost', 'lose', /^PUT/, 1_000],
      ['a small object that meets a busy store', { status: 503, code: 'SlowDown' }, /^PUT/, 1_000],
      ['a part that is dropped', 'drop', /^PUT .*partNumber=2/, LARGE_BYTES],
      ['a part whose answer is lost', 'lose', /^PUT .*partNumber=2/, LARGE_BYTES],
      ['a completion whose answer is lost', 'lose', /^POST .*uploadId=/, LARGE_BYTES],
      [
        'a completion that meets a fault of the store',
        { status: 500, code: 'InternalError' },
        /^POST .*uploadId=/,
        LARGE_BYTES,
      ],
    ])('%s is sent again', async (_, fault, match, length) => {
      planFor(fault, match);
      const bytes = pattern(length);
      await put(store, 'runs/a', [bytes]);
      expect(proxy.asked.filter(({ method, path }) => match.test(`${method} ${path}`)).length).toBeGreaterThan(1);
      expect((await get(store, 'runs/a', 0, length)).equals(bytes)).toBe(true);
      expect(await listStaged(place)).toEqual([]);
    });

    test.each<[string, Fault, string, 'later' | 'never']>([
      ['damaged bytes', 'damage', 'STORE_DAMAGED', 'later'],
      ['a full store', { status: 507, code: 'InsufficientStorage' }, 'STORE_FULL', 'later'],
      ['a full quota', { status: 403, code: 'QuotaExceeded' }, 'STORE_FULL', 'later'],
      ['rights that were taken away', { status: 403, code: 'AccessDenied' }, 'STORE_DENIED', 'never'],
      ['a store that is down', { status: 503, code: 'ServiceUnavailable' }, 'STORE_UNAVAILABLE', 'later'],
    ])('%s: nothing is stored, and nothing is left', async (_, fault, code, retry) => {
      for (const length of [1_000, LARGE_BYTES]) {
        planFor(fault, length > 1_000 ? /^PUT .*partNumber=2/ : /^PUT/, Infinity);
        const staged = await store.stage('runs/a');
        const done = staged.write(pattern(length)).then(() => staged.commit());
        await expect(done).rejects.toMatchObject({ code, retry });
        await staged.abort();
        expect(await store.size('runs/a')).toBeUndefined();
        expect(await listStaged(place)).toEqual([]);
      }
    });

    test('an abort that does not arrive is made up for by the sweep', async () => {
      const staged = await store.stage('runs/a');
      await staged.write(pattern(LARGE_BYTES));
      planFor('drop', /^DELETE/, Infinity);
      await staged.abort();
      expect(await listStaged(place)).toHaveLength(1);
      proxy.plan = () => undefined;
      expect(await store.sweepStaging(60_000)).toBe(0);
      expect(await store.sweepStaging(0)).toBe(1);
      expect(await listStaged(place)).toEqual([]);
    });
  });
});
