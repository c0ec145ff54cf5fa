import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { canonicalRoot } from '../../src/api/answers/parse-cid.ts';

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const codec = fc.constantFrom(0x70, 0x55, 0x71);
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** As the reference library reads it: undefined where it refuses. */
function parsed(text: string): string | undefined {
  try {
    // From its bytes: a CID remembers the text that it was parsed from.
    return CID.decode(CID.parse(text).bytes).toV1().toString();
  } catch {
    return undefined;
  }
}

test('roots stay what they are, by whichever way they are read', () => {
  fc.assert(
    fc.property(digest, codec, (bytes, code) => {
      const root = CID.createV1(code, createDigest(0x12, bytes));
      expect(canonicalRoot(root.toString())).toBe(root.toString());
      if (code === 0x70) expect(canonicalRoot(root.toV0().toString())).toBe(root.toString());
    }),
  );
});

test('a root with any one character changed is a CID where the library says so, and no other', () => {
  const at = fc.nat(58);
  const to = fc.constantFrom(...BASE32.split(''), '1', '8', 'A', '=', '');
  fc.assert(
    fc.property(digest, codec, at, to, (bytes, code, place, character) => {
      const root = CID.createV1(code, createDigest(0x12, bytes)).toString();
      const text = root.slice(0, place) + character + root.slice(place + 1);
      const expected = parsed(text);
      if (expected === undefined) expect(() => canonicalRoot(text)).toThrow('Invalid CID');
      // Ours refuses some that the library takes, such as varints that are longer than they need be.
      else expect([expected, 'Invalid CID']).toContain(orRefusal(text));
    }),
    { numRuns: 2_000 },
  );
});

function orRefusal(text: string): string {
  try {
    return canonicalRoot(text);
  } catch {
    return 'Invalid CID';
  }
}
