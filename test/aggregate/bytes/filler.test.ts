import { createHash } from 'node:crypto';
import { CarBlockIterator } from '@ipld/car';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FILLER_SECTION_BYTES, readFiller } from '../../../src/aggregate/bytes/filler.ts';
import { header, rawBlock, section } from '../../support/car-builder.ts';

test('filler is one section of 64 KiB of zeros, again and again', async () => {
  const zeros = rawBlock(Buffer.alloc(65_536));
  const one = section(zeros);
  expect(one.length).toBe(FILLER_SECTION_BYTES);
  const bytes = Buffer.concat([...readFiller(0, FILLER_SECTION_BYTES * 3)]);
  expect(bytes.equals(Buffer.concat([one, one, one]))).toBe(true);
  const car = Buffer.concat([header({ roots: [zeros.cid], version: 1 }), bytes]);
  let count = 0;
  for await (const block of await CarBlockIterator.fromBytes(car)) {
    count += 1;
    expect(createHash('sha256').update(block.bytes).digest().equals(Buffer.from(block.cid.multihash.digest))).toBe(
      true,
    );
  }
  expect(count).toBe(3);
});

test('any range of it is that range of the whole, in chunks of a section at most', () => {
  const whole = Buffer.concat([...readFiller(0, FILLER_SECTION_BYTES * 4)]);
  const at = fc.integer({ min: 0, max: whole.length });
  fc.assert(
    fc.property(at, at, (one, other) => {
      const [start, end] = [Math.min(one, other), Math.max(one, other)];
      const chunks = [...readFiller(start, end)];
      expect(Buffer.concat(chunks).equals(whole.subarray(start, end))).toBe(true);
      for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(FILLER_SECTION_BYTES);
    }),
    { numRuns: 60 },
  );
});
