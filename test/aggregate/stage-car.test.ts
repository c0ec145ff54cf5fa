import { expect, test } from 'vitest';
import { stageCar } from '../../src/aggregate/stage-car.ts';
import { LadingError } from '../../src/errors.ts';
import { carV2, inChunks, sampleUpload } from '../support/car-builder.ts';
import { hostileCars, hostileLimits } from './hostile-cars.ts';

async function stage(bytes: Uint8Array, chunkBytes: number) {
  const written: Buffer[] = [];
  const staged = { write: async (chunk: Uint8Array) => void written.push(Buffer.from(chunk)) };
  const limits = { ...hostileLimits, minFreeBytes: 0n };
  const car = await stageCar({
    body: inChunks(bytes, chunkBytes),
    staged,
    space: { wrote: async () => undefined },
    limits,
  });
  return { car, written: Buffer.concat(written) };
}

async function refusalOf(bytes: Uint8Array, chunkBytes: number): Promise<{ code: string; message: string }> {
  const error: unknown = await stage(bytes, chunkBytes).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof LadingError)) throw new Error(`expected a refusal, got ${String(error)}`, { cause: error });
  return { code: error.code, message: error.message };
}

/** Chunks of one byte only for what is small: it is the parser's edges that count. */
const SMALL_BYTES = 100_000;

test.each(hostileCars)('$name is refused in the same words, however it is cut', async ({ body, code, says }) => {
  const whole = await refusalOf(body, 65_536);
  expect(whole).toEqual({ code: expect.stringMatching(code), message: expect.stringContaining(says ?? '') });
  if (body.length > SMALL_BYTES) return;
  for (const chunkBytes of [1, 7, 1 << 20]) expect(await refusalOf(body, chunkBytes)).toEqual(whole);
});

test.each([1, 13, 1 << 20])('a sound CAR in chunks of %i bytes', async (chunkBytes) => {
  const upload = sampleUpload('sound', 6);
  const { car, written } = await stage(upload.car, chunkBytes);
  expect(written).toEqual(upload.run);
  expect(car.root.toString()).toBe(upload.root.toString());
  expect(car).toMatchObject({ blockCount: 7, runBytes: upload.run.length, missing: undefined });
});

test('CARv2 counts by its inner CARv1', async () => {
  const upload = sampleUpload('v2', 6);
  const { written } = await stage(carV2(upload.car), 100);
  expect(written).toEqual(upload.run);
  const indexed = Buffer.concat([carV2(upload.car), Buffer.from('an index that nobody reads')]);
  expect((await stage(indexed, 100)).written).toEqual(upload.run);
});
