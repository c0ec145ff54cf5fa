import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test, vi } from 'vitest';
import { createFetcher } from '../../src/outgoing/fetcher.ts';
import { checkSource, openSource, type Sources } from '../../src/pulls/open-source.ts';
import { createS3Client } from '../../src/storage/s3-client.ts';
import { parseS3Url } from '../../src/storage/s3-url.ts';
import { BUILD_MS, findVersitygw, startVersitygw } from '../support/versitygw.ts';

const binary = findVersitygw();
const BUCKET = 'incoming';
const limits = { headMs: 10_000, stallMs: 10_000, stallBytes: 1, allMs: Infinity, bodyBytes: 10_000_000, redirects: 5 };
const { signal } = new AbortController();
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function world(path: string) {
  const server = await startVersitygw(path);
  await mkdir(join(server.root, BUCKET));
  vi.stubEnv('AWS_ACCESS_KEY_ID', server.credentials.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.credentials.secretAccessKey);
  const place = parseS3Url(`s3://${BUCKET}/customers?endpoint=${server.endpoint}`);
  const client = createS3Client(place, server.credentials);
  const sources: Sources = { fetcher: createFetcher({ allowPrivate: false }), s3Places: [place] };
  const read = async (key: string, from?: { offset: number; validator: string }) => {
    using download = await openSource(sources, `s3://${BUCKET}/${key}`, { from, limits, signal });
    const chunks: Uint8Array[] = [];
    for await (const chunk of download.body) chunks.push(chunk);
    return { ...download, got: Buffer.concat(chunks) };
  };
  return {
    sources,
    endpoint: server.endpoint,
    read,
    put: (key: string, bytes: Uint8Array) =>
      client.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: bytes })),
    async [Symbol.asyncDispose]() {
      client.destroy();
      vi.unstubAllEnvs();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe.skipIf(binary === undefined)('a CAR in a bucket of ours', { timeout: BUILD_MS }, () => {
  test('is read with our credentials, from where it was left, and anew when it is another', async () => {
    await using one = await world(binary ?? '');
    const [old, now] = [randomBytes(500_000), randomBytes(600_000)];
    await one.put('customers/a b?.car', old);
    const whole = await one.read('customers/a%20b%3F.car');
    expect([digest(whole.got), whole.offset, whole.sizeBytes]).toEqual([digest(old), 0, old.length]);
    const { validator = '' } = whole;
    expect(validator).not.toBe('');
    const rest = await one.read('customers/a%20b%3F.car', { offset: 400_000, validator });
    expect([digest(rest.got), rest.offset, rest.sizeBytes]).toEqual([
      digest(old.subarray(400_000)),
      400_000,
      old.length,
    ]);
    await one.put('customers/a b?.car', now);
    const anew = await one.read('customers/a%20b%3F.car', { offset: 400_000, validator });
    expect([digest(anew.got), anew.offset, anew.sizeBytes]).toEqual([digest(now), 0, now.length]);
    expect(anew.validator).not.toBe(validator);
  });

  test('is not read outside the place that the configuration names, nor from an endpoint of the caller', async () => {
    await using one = await world(binary ?? '');
    await one.put('secret/a.car', randomBytes(10));
    const here = `endpoint=${encodeURIComponent(one.endpoint)}`;
    for (const url of [`s3://${BUCKET}/secret/a.car?${here}`, `s3://${BUCKET}/customers/../secret/a.car?${here}`]) {
      await expect(checkSource(one.sources, url)).rejects.toMatchObject({ code: 'ADDRESS_NOT_PUBLIC' });
      await expect(openSource(one.sources, url, { from: undefined, limits, signal })).rejects.toMatchObject({
        code: 'ADDRESS_NOT_PUBLIC',
      });
    }
    // Without credentials, as for a public object, it is refused by the server itself.
    const open: Sources = { ...one.sources, fetcher: createFetcher({ allowPrivate: true }) };
    await expect(
      openSource(open, `s3://${BUCKET}/secret/a.car?${here}`, { from: undefined, limits, signal }),
    ).rejects.toMatchObject({ code: 'ORIGIN_REFUSED', message: expect.stringMatching(/40[13].*without credentials/) });
  });

  test('that is not there, or too large, is told so', async () => {
    await using one = await world(binary ?? '');
    await expect(one.read('customers/none.car')).rejects.toMatchObject({ code: 'ORIGIN_REFUSED', retry: 'never' });
    await one.put('customers/large.car', Buffer.alloc(10_000_001));
    await expect(one.read('customers/large.car')).rejects.toMatchObject({ code: 'ORIGIN_TOO_LONG' });
  });
});
