import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import * as fc from 'fast-check';
import { formatAddress, idAddress, parseAddress } from '../../src/filecoin/address.ts';
import { canonicalCid, parseCid } from '../../src/filecoin/cid.ts';
import {
  decodeLabel,
  decodeProposal,
  decodeSignedProposal,
  encodeLabel,
  encodeProposal,
  encodeSignedProposal,
  proposalCid,
  signedProposalCid,
  type DealProposal,
} from '../../src/filecoin/proposal.ts';
import { parseLotusKey, signWithKey } from '../../src/filecoin/lotus-key.ts';
import { signatureBytes, verifySignature } from '../../src/filecoin/signature.ts';
import dealProposal from '../vectors/deal-proposal.json' with { type: 'json' };
import labels from '../vectors/label.json' with { type: 'json' };
import mk12 from '../vectors/mk12.json' with { type: 'json' };
import signatures from '../vectors/signatures.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

const ledger: DealProposal = {
  pieceCid: parseCid(dealProposal.proposal.PieceCID),
  pieceBytes: BigInt(dealProposal.proposal.PieceSize),
  verified: dealProposal.proposal.VerifiedDeal,
  client: parseAddress(dealProposal.proposal.Client),
  provider: parseAddress(dealProposal.proposal.Provider),
  label: dealProposal.proposal.Label,
  startEpoch: dealProposal.proposal.StartEpoch,
  endEpoch: dealProposal.proposal.EndEpoch,
  pricePerEpoch: BigInt(dealProposal.proposal.StoragePricePerEpoch),
  providerCollateral: BigInt(dealProposal.proposal.ProviderCollateral),
  clientCollateral: BigInt(dealProposal.proposal.ClientCollateral),
};

const mk12Proposal: DealProposal = {
  pieceCid: parseCid(mk12.pieceCid),
  pieceBytes: BigInt(mk12.pieceSize),
  verified: mk12.verified,
  client: parseAddress(mk12.client),
  provider: parseAddress(mk12.provider),
  label: mk12.label,
  startEpoch: mk12.startEpoch,
  endEpoch: mk12.endEpoch,
  pricePerEpoch: BigInt(mk12.pricePerEpoch),
  providerCollateral: BigInt(mk12.providerCollateral),
  clientCollateral: BigInt(mk12.clientCollateral),
};

test.each([
  ['ledger-filecoin', ledger, dealProposal.cbor],
  ['mk12', mk12Proposal, mk12.proposalCbor],
])('vector of %s', (_, proposal, cbor) => {
  expect(hex(encodeProposal(proposal))).toBe(cbor);
  const decoded = decodeProposal(fromHex(cbor));
  expect(hex(encodeProposal(decoded))).toBe(cbor);
  expect({ ...decoded, pieceCid: canonicalCid(decoded.pieceCid) }).toEqual({
    ...proposal,
    pieceCid: canonicalCid(proposal.pieceCid),
  });
});

test('signing, and the two CIDs of a proposal', () => {
  const key = parseLotusKey(signatures.vectors[0]?.lotusExportHex ?? '');
  const proposalBytes = fromHex(mk12.proposalCbor);
  const signature = signWithKey(key, proposalBytes);
  expect(`5842${hex(signatureBytes(signature))}`).toBe(mk12.signatureCbor);
  const signed = encodeSignedProposal({ proposal: mk12Proposal, signature });
  expect(hex(signed)).toBe(`82${mk12.proposalCbor}${mk12.signatureCbor}`);
  expect(proposalCid(proposalBytes).toString()).toBe(mk12.proposalCid);
  expect(signedProposalCid(signed).toString()).toBe(mk12.signedProposalCid);

  const decoded = decodeSignedProposal(signed);
  expect(hex(decoded.proposalBytes)).toBe(mk12.proposalCbor);
  expect(formatAddress(decoded.proposal.client)).toBe(mk12.client);
  expect(verifySignature(decoded.signature, decoded.proposalBytes, decoded.proposal.client)).toBe(true);
});

test.each(labels.label)('label $text $bytesHex', ({ text, bytesHex, hex: cbor }) => {
  const label = text ?? fromHex(bytesHex ?? '');
  expect(hex(encodeLabel(label))).toBe(cbor);
  expect(decodeLabel(fromHex(cbor))).toEqual(label);
});

test.each([...labels.mustReject, '61ff', '', 'f6'])('label %s is refused', (cbor) => {
  expect(() => decodeLabel(fromHex(cbor))).toThrow(expect.objectContaining({ name: 'FormatError' }));
});

test('a label has at most 256 bytes, however they are counted', () => {
  expect(decodeLabel(encodeLabel('ä'.repeat(128)))).toBe('ä'.repeat(128));
  for (const label of ['a'.repeat(257), 'ä'.repeat(129), new Uint8Array(257)]) {
    expect(() => encodeLabel(label)).toThrow(expect.objectContaining({ code: 'LABEL_TOO_LONG' }));
  }
  expect(() => decodeLabel(fromHex(`790101${'61'.repeat(257)}`))).toThrow(/exceeds 256/);
  expect(() => decodeLabel(fromHex(`590101${'61'.repeat(257)}`))).toThrow(/exceeds 256/);
});

const epoch = fc.integer({ min: -(2 ** 40), max: Number.MAX_SAFE_INTEGER });
const money = fc.bigInt(-(2n ** 100n), 2n ** 100n);
const anyProposal: fc.Arbitrary<DealProposal> = fc.record({
  pieceCid: fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((root) => CID.decode(Uint8Array.of(1, 0x81, 0xe2, 3, 0x92, 0x20, 32, ...root))),
  pieceBytes: fc.bigInt(0n, 2n ** 64n - 1n),
  verified: fc.boolean(),
  client: fc.bigInt(0n, 2n ** 63n - 1n).map(idAddress),
  provider: fc.bigInt(0n, 2n ** 63n - 1n).map(idAddress),
  label: fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.uint8Array({ maxLength: 256 })),
  startEpoch: epoch,
  endEpoch: epoch,
  pricePerEpoch: money,
  providerCollateral: money,
  clientCollateral: money,
});

test('any proposal comes back, and no byte of it is idle', () => {
  const property = fc.property(anyProposal, fc.nat(), (proposal, at) => {
    const bytes = encodeProposal(proposal);
    const decoded = decodeProposal(bytes);
    expect(hex(encodeProposal(decoded))).toBe(hex(bytes));
    expect(decoded.label).toEqual(proposal.label);
    expect(() => decodeProposal(bytes.subarray(0, at % bytes.length))).toThrow(
      expect.objectContaining({ name: 'FormatError' }),
    );
    expect(() => decodeProposal(Uint8Array.of(...bytes, 0))).toThrow(
      expect.objectContaining({ code: 'CBOR_TRAILING' }),
    );
  });
  fc.assert(property, { numRuns: 300 });
});

test('whatever decodes encodes to the same bytes', () => {
  const original = fromHex(mk12.proposalCbor);
  const property = fc.property(fc.nat(original.length - 1), fc.nat(255), (at, byte) => {
    const changed = original.with(at, byte);
    try {
      expect(hex(encodeProposal(decodeProposal(changed)))).toBe(hex(changed));
    } catch (error) {
      expect(error).toMatchObject({ name: 'FormatError' });
    }
  });
  fc.assert(property, { numRuns: 2000 });
});

test.each([
  ['a tuple of ten', `8a${mk12.proposalCbor.slice(2, -2)}`, 'CBOR_TUPLE'],
  ['a tuple of twelve', `8c${mk12.proposalCbor.slice(2)}40`, 'CBOR_TUPLE'],
  ['a non-minimal epoch', mk12.proposalCbor.replace('1a005e9ac0', '1b00000000005e9ac0'), 'CBOR_NOT_CANONICAL'],
  ['an epoch beyond 2^53', mk12.proposalCbor.replace('1a005e9ac0', '1b0020000000000000'), 'CBOR_RANGE'],
  ['an empty address', mk12.proposalCbor.replace('4300d209', '40'), 'INVALID_ADDRESS'],
  ['an address of 65 bytes', mk12.proposalCbor.replace('4300d209', `5841${'00'.repeat(65)}`), 'CBOR_TOO_LONG'],
  ['a price with a leading zero', mk12.proposalCbor.replace('0075d5a040', '0075d5a0420000'), 'CBOR_BIGINT_INVALID'],
  ['verified as a number', mk12.proposalCbor.replace('000800000000f5', '00080000000001'), 'CBOR_TYPE'],
])('%s is refused', (_, cbor, code) => {
  expect(cbor).not.toBe(mk12.proposalCbor);
  expect(() => decodeProposal(fromHex(cbor))).toThrow(expect.objectContaining({ code }));
});

test('what a number cannot hold exactly is not written', () => {
  for (const startEpoch of [0.5, 2 ** 53, Number.NaN]) {
    expect(() => encodeProposal({ ...ledger, startEpoch })).toThrow(expect.objectContaining({ code: 'CBOR_RANGE' }));
  }
  expect(() => encodeProposal({ ...ledger, pieceBytes: 2n ** 64n })).toThrow(/uint64/);
});
