import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { Message as IsoMessage } from 'iso-filecoin/message';
import { expect, test } from 'vitest';
import { addressBytes, formatAddress } from '../../src/filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../src/filecoin/lotus-key.ts';
import {
  addBalanceParams,
  decodeSignedMessage,
  encodeMessage,
  encodeSignedMessage,
  MARKET_ACTOR,
  METHOD_ADD_BALANCE,
  messageSigningBytes,
  signedMessageCid,
  type Message,
} from '../../src/filecoin/messages.ts';
import { signatureBytes, verifySignature } from '../../src/filecoin/signature.ts';
import signatures from '../vectors/signatures.json' with { type: 'json' };
import { hex } from './hex.ts';

const keys: LotusKey[] = [
  { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) },
  { type: 'bls', privateKey: new Uint8Array(32).fill(7) },
];

const anyMessage = (key: LotusKey): fc.Arbitrary<Message> => {
  const amount = fc.bigInt({ min: 0n, max: 10n ** 27n });
  return fc.record({
    to: fc.constant(MARKET_ACTOR),
    from: fc.constant(keyAddress(key)),
    nonce: fc.nat(),
    value: amount,
    gasLimit: fc.nat(10_000_000_000),
    gasFeeCap: amount,
    gasPremium: amount,
    method: fc.constant(METHOD_ADD_BALANCE),
    params: fc.constant(addBalanceParams(keyAddress(key))),
  });
};

function theirs(message: Message): IsoMessage {
  return new IsoMessage({
    version: 0,
    to: formatAddress(message.to),
    from: formatAddress(message.from),
    nonce: message.nonce,
    value: message.value.toString(),
    gasLimit: message.gasLimit,
    gasFeeCap: message.gasFeeCap.toString(),
    gasPremium: message.gasPremium.toString(),
    method: Number(message.method),
    params: Buffer.from(message.params).toString('base64'),
  });
}

test.each(keys)('a message of a $type key is written, named and signed as iso-filecoin does', (key) => {
  const property = fc.property(anyMessage(key), (message) => {
    const oracle = theirs(message);
    expect(hex(encodeMessage(message))).toBe(hex(oracle.serialize()));
    expect(hex(messageSigningBytes(message))).toBe(hex(oracle.cidBytes()));
    const signature = signWithKey(key, messageSigningBytes(message));
    const signed = { message, signature };
    const bytes = encodeSignedMessage(signed);
    expect(decodeSignedMessage(bytes)).toEqual(signed);
    expect(verifySignature(signature, messageSigningBytes(message), keyAddress(key))).toBe(true);
  });
  fc.assert(property, { numRuns: 10 });
});

test('the chain knows a secp256k1 message by the CID of the pair, a BLS one by that of the bare message', () => {
  for (const key of keys) {
    const [message] = fc.sample(anyMessage(key), { numRuns: 1, seed: 1 });
    if (message === undefined) throw new Error('no sample');
    const signature = signWithKey(key, messageSigningBytes(message));
    const cid = signedMessageCid({ message, signature });
    const bare = hex(messageSigningBytes(message));
    expect(hex(cid.bytes) === bare).toBe(key.type === 'bls');
    const pair = encode([
      [
        0,
        addressBytes(message.to),
        addressBytes(message.from),
        message.nonce,
        bigIntBytes(message.value),
        message.gasLimit,
        bigIntBytes(message.gasFeeCap),
        bigIntBytes(message.gasPremium),
        Number(message.method),
        message.params,
      ],
      signatureBytes(signature),
    ]);
    expect(hex(encodeSignedMessage({ message, signature }))).toBe(hex(pair));
  }
});

function bigIntBytes(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array();
  const digits = value.toString(16);
  return Buffer.from(`00${digits.padStart(digits.length + (digits.length % 2), '0')}`, 'hex');
}

test('the parameter of AddBalance is the address in a byte string', () => {
  // From the protocol notes: 55 01 1c6b… for the address of the secp256k1 vector.
  const [secp] = signatures.vectors;
  const key: LotusKey = {
    type: 'secp256k1',
    privateKey: Uint8Array.from(Buffer.from(secp?.privateKeyBase64 ?? '', 'base64')),
  };
  expect(hex(addBalanceParams(keyAddress(key)))).toBe('55011c6bbf1f4b18b97c9d2545902bca1e8994bf67b5');
});

test('a message of another version is refused', () => {
  const [key = { type: 'bls' as const, privateKey: new Uint8Array(32).fill(7) }] = keys;
  const [message] = fc.sample(anyMessage(key), { numRuns: 1, seed: 2 });
  if (message === undefined) throw new Error('no sample');
  const bytes = encodeSignedMessage({ message, signature: signWithKey(key, messageSigningBytes(message)) });
  expect(() => decodeSignedMessage(bytes.with(2, 1))).toThrow(/version 1 is unknown/);
});
