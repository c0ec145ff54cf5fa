import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { batchTreeReserve, MAX_ROOT_CHARS } from '../../../src/aggregate/seal/batch-tree-reserve.ts';
import { buildBatchTree } from '../../../src/aggregate/seal/batch-tree.ts';
import { limitBody } from '../../../src/aggregate/receive/receive-limits.ts';
import { stageCar } from '../../../src/aggregate/receive/stage-car.ts';
import { LadingError, unreachable } from '../../../src/errors.ts';
import {
  car as carOf,
  carV2,
  cborNode,
  DAG_CBOR,
  inPassingChunks,
  RAW,
  rawBlock,
  sampleUpload,
} from '../../support/car-builder.ts';
import { hostileCars, hostileLimits } from './hostile-cars.ts';
import { sectionsOf } from './split-car.ts';

function identity(codec: number, bytes: Uint8Array) {
  return { cid: CID.createV1(codec, createDigest(0, bytes)), bytes };
}

async function stage(bytes: Uint8Array, chunkBytes: number, heldCids?: number) {
  const written: Buffer[] = [];
  const staged = { write: async (chunk: Uint8Array) => void written.push(Buffer.from(chunk)) };
  const limits = { ...hostileLimits, minFreeBytes: 0n, ...(heldCids !== undefined && { heldCids }) };
  const car = await stageCar({
    // The body of a request takes its chunks back (api/uploads/give-back-chunks.ts).
    body: limitBody(inPassingChunks(bytes, chunkBytes), limits, new AbortController().signal),
    staged,
    space: { wrote: async () => undefined },
    limits,
    spillFolder: tmpdir(),
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

test('the longest root that is taken is the longest that the batch tree has room for', async () => {
  const { cid, bytes } = identity(RAW, new Uint8Array(68).fill(7));
  expect(cid.toString()).toHaveLength(MAX_ROOT_CHARS);
  const { car: staged } = await stage(carOf([cid], [{ cid, bytes }]), 1000);
  expect(staged).toMatchObject({ blockCount: 1, dagBytes: 68, missing: undefined });
  const tree = buildBatchTree([{ cid, dagBytes: staged.dagBytes, nodeCount: staged.blockCount }], 'x'.repeat(256));
  expect(tree.sectionBytes).toBeLessThanOrEqual(batchTreeReserve(1));
});

test('what an identity root links to must be there like any block', async () => {
  const leaf = rawBlock('below an identity root');
  const root = identity(DAG_CBOR, cborNode([leaf.cid]).bytes);
  expect((await stage(carOf([root.cid], [root]), 1000)).car.missing).toEqual({ count: 1, first: leaf.cid.toString() });
  expect((await stage(carOf([root.cid], [root, leaf]), 1000)).car.missing).toBeUndefined();
});

/** What a wire, a bug or an enemy makes of a sound CAR: bytes changed, lost, doubled, swapped. */
const mutation = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'drop', 'double', 'insert'),
  at: fc.nat(),
  length: fc.integer({ min: 1, max: 200 }),
  fill: fc.uint8Array({ minLength: 1, maxLength: 20 }),
});

function mutate(bytes: Buffer, { kind, at, length, fill }: typeof mutation extends fc.Arbitrary<infer T> ? T : never) {
  const place = at % bytes.length;
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (kind) {
    case 'flip':
      return Buffer.concat([before, Buffer.from([(after[0] ?? 0) ^ ((fill[0] ?? 0) | 1)]), after.subarray(1)]);
    case 'cut':
      return before;
    case 'drop':
      return Buffer.concat([before, after.subarray(length)]);
    case 'double':
      return Buffer.concat([before, after.subarray(0, length), after]);
    case 'insert':
      return Buffer.concat([before, fill, after]);
    default:
      return unreachable(kind);
  }
}

test('a sound CAR that was tampered with is refused with a code, or holds only sound blocks', async () => {
  const { car: sound, run } = sampleUpload('mutated', 5);
  const forms = [sound, carV2(sound)];
  const intact = new Set(sectionsOf(run));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...forms),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      async (form, all) => {
        const bytes = all.reduce((changed, one) => (changed.length === 0 ? changed : mutate(changed, one)), form);
        const result = await stage(bytes, 97).catch((error: unknown) => error);
        if (result instanceof LadingError) expect(result.code).toMatch(/^[A-Z0-9_]+$/);
        else if (result instanceof Error) throw result;
        else
          for (const section of sectionsOf((result as { written: Buffer }).written)) expect(intact).toContain(section);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('deep chains and many links to one block are sound, in memory and time that stay small', async () => {
  const chain = [rawBlock('bottom')];
  for (let level = 0; level < 1_900; level += 1) chain.push(cborNode([chain.at(-1)?.cid]));
  const top = chain.at(-1) ?? rawBlock('none');
  expect((await stage(carOf([top.cid], chain), 65_536)).car).toMatchObject({ missing: undefined, blockCount: 1_901 });
  const leaf = rawBlock('the only one');
  const wide = cborNode(Array.from({ length: 100_000 }, () => leaf.cid));
  const { car } = await stage(carOf([wide.cid], [wide, leaf, wide, leaf]), 65_536);
  expect(car).toMatchObject({ missing: undefined, blockCount: 2 });
});
