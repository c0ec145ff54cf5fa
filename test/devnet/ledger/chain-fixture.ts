import { createHash } from 'node:crypto';

import { encode } from '@ipld/dag-cbor';
import { sign } from 'iso-filecoin/wallet';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import type { LedgerOptions } from '../../../src/devnet/ledger/chain-driver.ts';
import { openLedger, type Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { addressBytes, formatAddress, parseAddress, type Address } from '../../../src/filecoin/address.ts';
import { keyAddress, type LotusKey } from '../../../src/filecoin/lotus-key.ts';

export const FIL = 10n ** 18n;
export const PROVIDER = 'f01002';
export const START = 5_000;
export const END = START + 518_400;

export const secpKey: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
export const blsKey: LotusKey = { type: 'bls', privateKey: new Uint8Array(32).fill(9) };
export const client: Address = keyAddress(secpKey);
export const blsClient: Address = keyAddress(blsKey);

export interface DealTerms {
  key?: LotusKey;
  client?: Address;
  provider?: string;
  label?: string | Uint8Array;
  piece?: string;
  pieceBytes?: number;
  verified?: boolean;
  startEpoch?: number;
  endEpoch?: number;
  price?: bigint;
  providerCollateral?: bigint;
  clientCollateral?: bigint;
  /** Signs other bytes than those of the proposal. */
  isForged?: boolean;
}

/** A ClientDealProposal made without the product's codecs and signer: dag-cbor and iso-filecoin. */
export function makeDeal(terms: DealTerms = {}): Uint8Array {
  const key = terms.key ?? secpKey;
  const proposal = [
    pieceCid(terms.piece ?? 'piece'),
    terms.pieceBytes ?? 1 << 20,
    terms.verified ?? false,
    addressBytes(terms.client ?? keyAddress(key)),
    addressBytes(parseAddress(terms.provider ?? PROVIDER)),
    terms.label ?? 'label',
    terms.startEpoch ?? START,
    terms.endEpoch ?? END,
    bigIntBytes(terms.price ?? 1_000n),
    bigIntBytes(terms.providerCollateral ?? FIL),
    bigIntBytes(terms.clientCollateral ?? 0n),
  ];
  const signed = terms.isForged === true ? Buffer.from('something else') : encode(proposal);
  // iso-filecoin takes BLS keys big-endian, as the curve libraries do; Lotus keeps them little-endian.
  const privateKey = key.type === 'bls' ? key.privateKey.toReversed() : key.privateKey;
  const { code, data } = sign(privateKey, key.type === 'bls' ? 'BLS' : 'SECP256K1', signed);
  return encode([proposal, Uint8Array.of(code, ...data)]);
}

export function pieceCid(name: string): CID {
  const digest = new Uint8Array(createHash('sha256').update(name).digest());
  digest[31] = (digest[31] ?? 0) & 0x3f;
  return CID.createV1(0xf101, createDigest(0x1012, digest));
}

/** A chain that stands still, with one miner and two clients of 100 FIL and 1 TiB of DataCap each. */
export function standingLedger(options: Partial<LedgerOptions> = {}): Ledger {
  const ledger = openLedger({
    epochMs: 1_000,
    seed: 'test',
    isPaused: true,
    genesisSeconds: 1_700_000_000,
    ...options,
  });
  if (ledger.miner(PROVIDER) !== undefined) return ledger;
  ledger.registerMiner({ id: PROVIDER, peerId: '12D3KooWQzndiPLcCxLV3f7qqqeBzhULUtecqRRi4rMGVgYMRKWa' });
  for (const address of [client, blsClient]) ledger.fund(address, { attoFil: 100n * FIL, dataCapBytes: 1n << 40n });
  return ledger;
}

/** Pushes a publish message without making tipsets. */
export function pushDeals(ledger: Ledger, deals: Uint8Array[], provider = PROVIDER): CID {
  const attempt = ledger.publish(provider, deals);
  if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
  return attempt.message;
}

/** Publishes and makes the two tipsets that a receipt takes. */
export function publishNow(ledger: Ledger, deals: Uint8Array[], provider = PROVIDER): bigint[] {
  const attempt = ledger.publish(provider, deals);
  if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
  ledger.land(attempt.message);
  return [...(ledger.publishResult(attempt.message)?.dealIds ?? [])];
}

export function activateNow(ledger: Ledger, dealIds: bigint[], provider = PROVIDER): number {
  const attempt = ledger.proveSector(provider, dealIds);
  if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
  return ledger.land(attempt.message).height;
}

export function clientText(): string {
  return formatAddress(client);
}

function bigIntBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array();
  const hex = value.toString(16);
  return Uint8Array.of(0, ...Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
}

/** Types of the market actor's events, in order. */
export function eventTypes(ledger: Ledger): string[] {
  const query = { emitterIds: new Set([5n]), fields: new Map(), fromHeight: 0, toHeight: 10 ** 9, tipset: undefined };
  return [...ledger.view().events(query)].map(([event]) =>
    Buffer.from(event.entries[0]?.value.subarray(1) ?? []).toString(),
  );
}
