import { Fr32 } from '@web3-storage/data-segment';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { padUnits } from '../../src/filecoin/commp/fr32.ts';

/** Bit by bit from the definition: output bit 256e + b is payload bit 254e + b, for b below 254. */
function padByDefinition(payload: Uint8Array): Uint8Array {
  const padded = new Uint8Array((payload.length / 127) * 128);
  for (let bit = 0; bit < payload.length * 8; bit++) {
    const value = ((payload[bit >> 3] ?? 0) >> (bit & 7)) & 1;
    const to = Math.floor(bit / 254) * 256 + (bit % 254);
    padded[to >> 3] = (padded[to >> 3] ?? 0) | (value << (to & 7));
  }
  return padded;
}

function padByKernel(payload: Uint8Array): Uint8Array {
  const words = new Uint32Array((payload.length / 127) * 32);
  padUnits(payload, words, { sourceOffset: 0, targetUnit: 0, units: payload.length / 127 });
  return new Uint8Array(words.buffer);
}

const payloads = fc
  .integer({ min: 1, max: 6 })
  .chain((units) => fc.uint8Array({ minLength: 127 * units, maxLength: 127 * units }));

test('spreads bits as the definition says', () => {
  fc.assert(
    fc.property(payloads, (payload) => {
      expect(padByKernel(payload)).toEqual(padByDefinition(payload));
    }),
  );
  expect(padByKernel(new Uint8Array(127).fill(0xff))).toEqual(padByDefinition(new Uint8Array(127).fill(0xff)));
});

test('agrees with data-segment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 508, maxLength: 508 }), (payload) => {
      expect(padByKernel(payload)).toEqual(Fr32.pad(payload));
    }),
  );
});

test('reads from any offset and writes to any unit, and nowhere else', () => {
  fc.assert(
    fc.property(payloads, fc.nat({ max: 9 }), fc.nat({ max: 3 }), (payload, sourceOffset, targetUnit) => {
      const units = payload.length / 127;
      // The source ends with the last unit, so a read past it would throw.
      const source = new Uint8Array(sourceOffset + payload.length).fill(0xaa);
      source.set(payload, sourceOffset);
      const target = new Uint32Array((targetUnit + units + 1) * 32).fill(0xdead_beef);
      padUnits(source, target, { sourceOffset, targetUnit, units });
      const bytes = new Uint8Array(target.buffer);
      const [from, to] = [targetUnit * 128, (targetUnit + units) * 128];
      expect(bytes.subarray(from, to)).toEqual(padByDefinition(payload));
      expect(new Set([...target.subarray(0, from / 4), ...target.subarray(to / 4)])).toEqual(new Set([0xdead_beef]));
    }),
  );
});
