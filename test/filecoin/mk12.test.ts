import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import { addressBytes, formatAddress, idAddress, parseAddress } from '../../src/filecoin/address.ts';
import { tryDecodeFirst } from '../../src/filecoin/cbor.ts';
import { parseCid } from '../../src/filecoin/cid.ts';
import { parseLotusKey, signWithKey } from '../../src/filecoin/lotus-key.ts';
import {
  decodeAskRequest,
  decodeAskResponse,
  encodeAskRequest,
  encodeAskResponse,
  type SignedAsk,
} from '../../src/filecoin/mk12-ask.ts';
import { uuidBytes } from '../../src/filecoin/mk12-fields.ts';
import {
  decodeDealParams,
  decodeDealResponse,
  encodeDealParams,
  encodeDealResponse,
  httpTransferParams,
  parseHttpTransferParams,
  type DealParams,
} from '../../src/filecoin/mk12-propose.ts';
import {
  decodeDealStatusRequest,
  decodeDealStatusResponse,
  encodeDealStatusRequest,
  encodeDealStatusResponse,
  type DealStatusResponse,
} from '../../src/filecoin/mk12-status.ts';
import { decodeProposal } from '../../src/filecoin/proposal.ts';
import { signatureFromBytes, verifySignature } from '../../src/filecoin/signature.ts';
import vector from '../vectors/mk12.json' with { type: 'json' };
import signatures from '../vectors/signatures.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

const key = parseLotusKey(signatures.vectors[0]?.lotusExportHex ?? '');

const params: DealParams = {
  dealUuid: vector.dealUuid,
  transfer: {
    type: 'http',
    clientId: '',
    params: new TextEncoder().encode(vector.transferParams),
    sizeBytes: vector.transferSize,
  },
  isOffline: false,
  dealDataRoot: parseCid(vector.label),
  skipIpniAnnounce: false,
  signedProposal: fromHex(`82${vector.proposalCbor}${vector.signatureCbor}`),
  removeUnsealedCopy: false,
};

test('DealParams of 1.2.1', () => {
  expect(hex(encodeDealParams(params))).toBe(vector.dealParams121);
  const decoded = decodeDealParams(fromHex(vector.dealParams121));
  expect(hex(encodeDealParams(decoded))).toBe(vector.dealParams121);
  expect(decoded.dealUuid).toBe(vector.dealUuid);
  expect(decoded.transfer).toEqual(params.transfer);
  expect(hex(decoded.signedProposal)).toBe(hex(params.signedProposal));
});

test('DealParams of 1.2.0 leave two keys out', () => {
  const bytes = encodeDealParams(params, '1.2.0');
  expect(Object.keys(dagCbor.decode<Record<string, unknown>>(bytes)).toSorted()).toEqual([
    'ClientDealProposal',
    'DealDataRoot',
    'DealUUID',
    'IsOffline',
    'Transfer',
  ]);
  expect(bytes[0]).toBe(0xa5);
  expect(hex(encodeDealParams(decodeDealParams(bytes)))).toBe(vector.dealParams121);
});

test('flags of 1.2.1 come back', () => {
  const flags = { isOffline: true, skipIpniAnnounce: true, removeUnsealedCopy: true };
  expect(decodeDealParams(encodeDealParams({ ...params, ...flags }))).toMatchObject(flags);
});

test('dag-cbor writes the same bytes, and any order of keys is read', () => {
  const value = dagCbor.decode<Record<string, unknown>>(fromHex(vector.dealParams121));
  expect(hex(dagCbor.encode(value))).toBe(vector.dealParams121);
  const pairs = Object.entries(value).toReversed();
  const reversed = [0xa8, ...pairs.flatMap(([name, item]) => [...dagCbor.encode(name), ...dagCbor.encode(item)])];
  const withUnknownKey = Uint8Array.from([...reversed, ...dagCbor.encode('Novelty'), ...dagCbor.encode([{ a: [1] }])]);
  expect(hex(encodeDealParams(decodeDealParams(withUnknownKey)))).toBe(vector.dealParams121);
});

test.each([
  ['a UUID of 15 bytes', (v: Params) => ({ ...v, DealUUID: new Uint8Array(15) }), 'INVALID_UUID'],
  ['a UUID of 17 bytes', (v: Params) => ({ ...v, DealUUID: new Uint8Array(17) }), 'CBOR_TOO_LONG'],
  ['no root', (v: Params) => ({ ...v, DealDataRoot: null }), 'CBOR_TYPE'],
  [
    'no transfer',
    (v: Params) => Object.fromEntries(Object.entries(v).filter(([name]) => name !== 'Transfer')),
    'CBOR_MAP',
  ],
  ['a proposal that is none', (v: Params) => ({ ...v, ClientDealProposal: [1, 2] }), 'CBOR_TUPLE'],
  ['a length beyond 2^53', (v: Params) => ({ ...v, Transfer: { ...v.Transfer, Size: 2n ** 60n } }), 'CBOR_RANGE'],
  ['a negative length', (v: Params) => ({ ...v, Transfer: { ...v.Transfer, Size: -1 } }), 'CBOR_TYPE'],
])('DealParams with %s are refused', (_, change, code) => {
  const bytes = dagCbor.encode(change(dagCbor.decode(fromHex(vector.dealParams121))));
  expect(() => decodeDealParams(bytes)).toThrow(expect.objectContaining({ code }));
});

interface Params {
  DealUUID: unknown;
  DealDataRoot: unknown;
  ClientDealProposal: unknown;
  Transfer: Record<string, unknown>;
}

test('DealResponse', () => {
  expect(hex(encodeDealResponse({ accepted: true, message: '' }))).toBe(vector.dealResponseAccepted);
  expect(decodeDealResponse(fromHex(vector.dealResponseAccepted))).toEqual({ accepted: true, message: '' });
  const refused = { accepted: false, message: 'failed validation: invalid signature' };
  expect(decodeDealResponse(encodeDealResponse(refused))).toEqual(refused);
});

test('DealStatusRequest signs the bytes of the UUID', () => {
  const signature = signWithKey(key, uuidBytes(vector.dealUuid));
  const bytes = encodeDealStatusRequest({ dealUuid: vector.dealUuid, signature });
  expect(hex(bytes)).toBe(vector.dealStatusRequest);
  const decoded = decodeDealStatusRequest(bytes);
  expect(decoded.dealUuid).toBe(vector.dealUuid);
  expect(verifySignature(decoded.signature, uuidBytes(decoded.dealUuid), parseAddress(vector.client))).toBe(true);
});

const status: DealStatusResponse = {
  error: '',
  dealUuid: vector.dealUuid,
  isOffline: false,
  dealStatus: {
    error: '',
    status: 'Published',
    proposal: decodeProposal(fromHex(vector.proposalCbor)),
    publishCid: parseCid(vector.proposalCid),
    chainDealId: 2n ** 60n,
    sealingStatus: 'PreCommit1',
    signedProposalCid: parseCid(vector.signedProposalCid),
  },
  transferSizeBytes: vector.transferSize,
  receivedBytes: 17,
};

test('DealStatusResponse, as dag-cbor sees it', () => {
  const bytes = encodeDealStatusResponse(status);
  expect(decodeDealStatusResponse(bytes)).toEqual(status);
  const seen = dagCbor.decode<{ DealStatus: Record<string, unknown> }>(bytes);
  expect(hex(dagCbor.encode(seen))).toBe(hex(bytes));
  expect(Object.keys(seen)).toEqual(['Error', 'DealUUID', 'IsOffline', 'DealStatus', 'TransferSize', 'NBytesReceived']);
  expect(Object.keys(seen.DealStatus)).toEqual([
    'Error',
    'Status',
    'Proposal',
    'PublishCid',
    'ChainDealID',
    'SealingStatus',
    'SignedProposalCid',
  ]);
  expect(CID.asCID(seen.DealStatus['PublishCid'])?.toString()).toBe(vector.proposalCid);
});

test('DealStatusResponse without a deal, or without a publish message', () => {
  const unknown = { ...status, dealStatus: null, error: 'no storage deal found with deal UUID x' };
  expect(decodeDealStatusResponse(encodeDealStatusResponse(unknown))).toEqual(unknown);
  const { dealStatus } = status;
  const unpublished = { ...status, dealStatus: dealStatus && { ...dealStatus, publishCid: null } };
  expect(decodeDealStatusResponse(encodeDealStatusResponse(unpublished))).toEqual(unpublished);
});

test('AskRequest', () => {
  expect(hex(encodeAskRequest(parseAddress(vector.provider)))).toBe(vector.askRequest);
  expect(formatAddress(decodeAskRequest(fromHex(vector.askRequest)))).toBe(vector.provider);
});

const asked: SignedAsk = {
  ask: {
    miner: idAddress(1234n),
    price: 45_211_226_852n,
    verifiedPrice: 0n,
    minPieceBytes: 2n ** 34n,
    maxPieceBytes: 2n ** 35n,
    timestampEpoch: 6_000_000,
    expiryEpoch: -1,
    sequence: 2n ** 63n,
  },
  signature: signatureFromBytes(fromHex(signatures.vectors[1]?.signatureHex ?? '')),
};

test('AskResponse, as dag-cbor sees it', () => {
  const bytes = encodeAskResponse(asked);
  expect(decodeAskResponse(bytes)).toEqual(asked);
  const seen = dagCbor.decode<{ Ask: { Ask: Record<string, unknown> } }>(bytes);
  expect(hex(dagCbor.encode(seen))).toBe(hex(bytes));
  expect(Object.keys(seen.Ask)).toEqual(['Ask', 'Signature']);
  expect(Object.keys(seen.Ask.Ask)).toEqual([
    'Miner',
    'Price',
    'SeqNo',
    'Expiry',
    'Timestamp',
    'MaxPieceSize',
    'MinPieceSize',
    'VerifiedPrice',
  ]);
  expect(seen.Ask.Ask['Miner']).toEqual(addressBytes(idAddress(1234n)));
});

test('AskResponse without an ask, or without a signature', () => {
  expect(hex(encodeAskResponse(null))).toBe('a16341736bf6');
  expect(decodeAskResponse(fromHex('a16341736bf6'))).toBeNull();
  const unsigned = { ...asked, signature: null };
  expect(decodeAskResponse(encodeAskResponse(unsigned))).toEqual(unsigned);
});

test('a message is found in a stream of single bytes', () => {
  const message = fromHex(vector.dealParams121);
  const ends = [...message.keys()].map((i) => tryDecodeFirst(message.subarray(0, i + 1))?.item.length);
  expect(ends.findIndex((end) => end !== undefined)).toBe(message.length - 1);
});

test('parameters of an http transfer', () => {
  const { URL: url, Headers: headers } = JSON.parse(vector.transferParams);
  expect(new TextDecoder().decode(httpTransferParams({ url, headers }))).toBe(vector.transferParams);
  expect(parseHttpTransferParams(params.transfer.params)).toEqual({ url, headers });
  const parse = (json: string) => parseHttpTransferParams(new TextEncoder().encode(json));
  expect(parse('{"URL":"http://x/","Headers":null}')).toEqual({ url: 'http://x/', headers: {} });
  expect(parse('{"URL":"http://x/"}')).toEqual({ url: 'http://x/', headers: {} });
});

test.each([
  '',
  '[]',
  'null',
  '1',
  '{}',
  '{"URL":1}',
  '{"URL":"x","Headers":{"a":1}}',
  '{"URL":"x","Headers":"secret"}',
  'secret',
])('%j are no parameters, and the message keeps what they hold', (json) => {
  const parse = () => parseHttpTransferParams(new TextEncoder().encode(json));
  expect(parse).toThrow(expect.objectContaining({ code: 'TRANSFER_INVALID' }));
  expect(parse).not.toThrow(/secret/);
});

test.each(['', '6ba7b8109dad11d180b400c04fd430c8', `${vector.dealUuid}0`, vector.dealUuid.replace('6', 'g')])(
  '%j is no UUID',
  (uuid) => {
    expect(() => uuidBytes(uuid)).toThrow(expect.objectContaining({ code: 'INVALID_UUID' }));
  },
);
