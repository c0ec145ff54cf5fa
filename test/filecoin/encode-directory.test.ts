import * as dagPb from '@ipld/dag-pb';
import * as fc from 'fast-check';
import { UnixFS } from 'ipfs-unixfs';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as Digest from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { encodeDirectory } from '../../src/filecoin/encode-directory.ts';

const DIRECTORY = new UnixFS({ type: 'directory' }).marshal();
const link = fc.record({
  name: fc.string({ unit: 'binary', maxLength: 200 }),
  digest: fc.uint8Array({ minLength: 1, maxLength: 128 }),
  tsize: fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER)),
});

test('a directory has the bytes that DAG-PB gives it', () => {
  fc.assert(
    fc.property(fc.array(link, { maxLength: 6 }), (given) => {
      const links = given.map(({ name, digest, tsize }) => {
        return { name, tsize, cid: CID.createV1(raw.code, Digest.create(0x12, digest)) };
      });
      const sorted = links.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
      const named = sorted.map(({ name, tsize, cid }) => ({ Name: name, Tsize: tsize, Hash: cid }));
      const expected = dagPb.encode(dagPb.prepare({ Data: DIRECTORY, Links: named }));
      const ours = encodeDirectory(sorted.map(({ name, tsize, cid }) => ({ name, tsize, cidBytes: cid.bytes })));
      expect(Buffer.from(ours).equals(expected)).toBe(true);
    }),
    { numRuns: 200 },
  );
});
