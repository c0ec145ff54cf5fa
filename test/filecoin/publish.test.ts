import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodePublishParams,
  decodePublishReturn,
  encodePublishParams,
  encodePublishReturn,
} from '../../src/filecoin/publish.ts';
import { decodeSignedProposal } from '../../src/filecoin/proposal.ts';
import bitfield from '../vectors/bitfield.json' with { type: 'json' };
import mk12 from '../vectors/mk12.json' with { type: 'json' };
import recorded from '../vectors/lotus-rpc.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

test('PublishStorageDealsReturn', () => {
  const { ids, valid, hex: cbor } = bitfield.publishReturn;
  expect(hex(encodePublishReturn({ ids: ids.map(BigInt), valid }))).toBe(cbor);
  expect(decodePublishReturn(fromHex(cbor))).toEqual({ ids: ids.map(BigInt), valid });
});

test('the return that the real market actor gave for four proposals, one with a bad signature', () => {
  expect(decodePublishReturn(fromHex('8283040506425406'))).toEqual({ ids: [4n, 5n, 6n], valid: [0, 1, 3] });
  expect(hex(encodePublishReturn({ ids: [4n, 5n, 6n], valid: [0, 1, 3] }))).toBe('8283040506425406');
});

test('PublishStorageDealsParams keep the bytes of each proposal', () => {
  const signed = fromHex(`82${mk12.proposalCbor}${mk12.signatureCbor}`);
  expect(hex(encodePublishParams([signed, signed]))).toBe(`8182${hex(signed)}${hex(signed)}`);
  expect(decodePublishParams(encodePublishParams([signed, signed])).map(hex)).toEqual([hex(signed), hex(signed)]);
  expect(decodePublishParams(encodePublishParams([]))).toEqual([]);
});

function fromBase64(text: unknown): Uint8Array {
  if (typeof text !== 'string') throw new Error('the recording has something else than base64 here');
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** Values of a key anywhere in the recorded answers. */
function valuesOf(key: string, within: unknown): unknown[] {
  if (typeof within !== 'object' || within === null) return [];
  return Object.entries(within).flatMap(([name, value]) => [...(name === key ? [value] : []), ...valuesOf(key, value)]);
}

const messages = valuesOf('result', recorded.pairs).flatMap((result) => {
  const isPublish = valuesOf('To', result)[0] === 'f05' && valuesOf('Method', result)[0] === 4;
  return isPublish ? valuesOf('Params', result).slice(0, 1) : [];
});

test('parameters of messages on a real chain decode to signed proposals and encode to the same bytes', () => {
  expect(messages.length).toBeGreaterThan(0);
  for (const base64 of messages) {
    const bytes = fromBase64(base64);
    const proposals = decodePublishParams(bytes);
    expect(proposals.length).toBeGreaterThan(0);
    for (const proposal of proposals) expect(decodeSignedProposal(proposal).signature.data.length).toBeGreaterThan(64);
    expect(hex(encodePublishParams(proposals))).toBe(hex(bytes));
  }
});

test('receipts of a real chain', () => {
  const returns = valuesOf('Return', recorded.pairs).filter((value) => value !== null);
  expect(returns.length).toBeGreaterThan(0);
  for (const base64 of returns) {
    const bytes = fromBase64(base64);
    const { ids, valid } = decodePublishReturn(bytes);
    expect(ids.length).toBe(valid.length);
    expect(hex(encodePublishReturn({ ids, valid }))).toBe(hex(bytes));
  }
});

test('any return comes back', () => {
  const property = fc.property(
    fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { maxLength: 20 }),
    fc.uniqueArray(fc.nat(500)),
    (ids, set) => {
      const valid = set.toSorted((a, b) => a - b);
      expect(decodePublishReturn(encodePublishReturn({ ids, valid }))).toEqual({ ids, valid });
    },
  );
  fc.assert(property);
});

test.each(['81 80', '83 80 40 40', '82 80', '82 80 41 00', '82 80 40 00', '80', '82 9f ff 40'])(
  'return %s is refused',
  (text) => {
    expect(() => decodePublishReturn(fromHex(text.replaceAll(' ', '')))).toThrow(
      expect.objectContaining({ name: 'FormatError' }),
    );
  },
);
