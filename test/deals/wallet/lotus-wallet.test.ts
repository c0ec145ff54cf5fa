import { inspect } from 'node:util';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { openWallet } from '../../../src/deals/wallet/open-wallet.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../../src/filecoin/lotus-key.ts';
import { formatAddress } from '../../../src/filecoin/address.ts';
import { verifySignature } from '../../../src/filecoin/signature.ts';
import { sendError, sendJson, sendResult, serveRpc, type Respond } from '../../support/rpc-server.ts';

const signal = new AbortController().signal;
const fault = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });
const keys: LotusKey[] = [
  { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) },
  { type: 'bls', privateKey: new Uint8Array(32).fill(7) },
];
const [key = keys[0], other = keys[0]] = keys;
const addressOf = (of: LotusKey | undefined) => (of === undefined ? '' : formatAddress(keyAddress(of)));

/** A Lotus node with this key in its wallet; signs with `signer`. */
const lotus =
  (held: LotusKey | undefined, signer = held): Respond =>
  ({ method, params }, response) => {
    const [address, message] = params.map(String);
    if (method === 'Filecoin.WalletHas') return sendResult(response, address === addressOf(held));
    if (signer === undefined || address !== addressOf(held)) return sendError(response, 1, 'key not found');
    const { type, data } = signWithKey(signer, Buffer.from(message ?? '', 'base64'));
    return sendResult(response, { Type: type, Data: Buffer.from(data).toString('base64') });
  };

const message = new TextEncoder().encode('sixteen bytes or so');

describe.each(keys)('a $type key in a Lotus node', (held) => {
  it('signs the very bytes, with the token of that node', async () => {
    await using without = await serveRpc(lotus(undefined));
    await using node = await serveRpc(lotus(held));
    const endpoints = [{ url: without.url }, { url: node.url, token: 'may-sign' }];
    using wallet = await openWallet(`lotus:${addressOf(held)}`, { endpoints, signal });
    const address = await wallet.address();
    expect(address).toBe(addressOf(held));
    expect(verifySignature(await wallet.sign(message), message, parseAddress(address))).toBe(true);
    expect(without.requests.map(({ method }) => method)).toEqual(['Filecoin.WalletHas']);
    expect(node.requests.map(({ method, params, authorization }) => ({ method, params, authorization }))).toEqual([
      { method: 'Filecoin.WalletHas', params: [address], authorization: 'Bearer may-sign' },
      {
        method: 'Filecoin.WalletSign',
        params: [address, Buffer.from(message).toString('base64')],
        authorization: 'Bearer may-sign',
      },
    ]);
  });
});

const setting = `lotus:${addressOf(key)}`;

it('refuses a signature of another key, or over other bytes', async () => {
  await using node = await serveRpc(lotus(key, other));
  using wallet = await openWallet(setting, { endpoints: [{ url: node.url }], signal });
  await expect(wallet.sign(message)).rejects.toThrow(fault('WALLET_SIGNATURE_WRONG', /not of f1/));
});

it.each<[string, unknown]>([
  ['the type byte of the other curve', { Type: 2, Data: Buffer.alloc(96, 1).toString('base64') }],
  ['a type that there is not', { Type: 7, Data: '' }],
  ['no bytes', { Type: 1, Data: '' }],
  ['bytes off the curve', { Type: 1, Data: Buffer.alloc(65, 255).toString('base64') }],
  ['what is not base64', { Type: 1, Data: '\u0000' }],
  ['null', null],
  ['a text', 'signed'],
])('refuses a signature of %s', async (_name, answer) => {
  await using node = await serveRpc((request, response, raw) =>
    request.method === 'Filecoin.WalletSign' ? sendResult(response, answer) : lotus(key)(request, response, raw),
  );
  using wallet = await openWallet(setting, { endpoints: [{ url: node.url }], signal });
  await expect(wallet.sign(message)).rejects.toThrow(/signature that is not of f1|did not answer/);
});

it('looks for the key anew when the node that held it says that it is gone', async () => {
  let holder: LotusKey | undefined = key;
  await using first = await serveRpc((request, response, raw) => lotus(holder)(request, response, raw));
  await using second = await serveRpc((request, response, raw) =>
    lotus(holder === undefined ? key : undefined)(request, response, raw),
  );
  const endpoints = [{ url: first.url }, { url: second.url }];
  using wallet = await openWallet(setting, { endpoints, signal });
  expect(await wallet.sign(message)).toMatchObject({ type: 1 });
  holder = undefined;
  await expect(wallet.sign(message)).rejects.toThrow(/key not found/);
  expect(await wallet.sign(message)).toMatchObject({ type: 1 });
});

describe('says what to do', () => {
  it('when no node holds the key', async () => {
    await using node = await serveRpc(lotus(other));
    const opening = openWallet(setting, { endpoints: [{ url: node.url }], signal });
    await expect(opening).rejects.toThrow(fault('WALLET_UNKNOWN', /import it there, or set WALLET=file/));
    await expect(openWallet(setting, { endpoints: [], signal })).rejects.toThrow(
      fault('WALLET_UNKNOWN', /CHAIN_RPC_URL is not set/),
    );
  });

  it.each<[string, Respond]>([
    [
      'may not',
      (_request, response) => sendError(response, 1, "missing permission to invoke 'WalletHas' (need 'write')"),
    ],
    ['is not known', (_request, response) => sendJson(response, '', 401)],
  ])('when the token %s', async (_name, respond) => {
    await using node = await serveRpc(respond);
    const opening = openWallet(setting, { endpoints: [{ url: node.url, token: 'tiny-secret' }], signal });
    const error: unknown = await opening.catch((thrown: unknown) => thrown);
    expect(error).toEqual(fault('WALLET_REFUSED', /lotus auth create-token --perm sign/));
    expect(inspect(error, { depth: 9 })).not.toContain('tiny-secret');
  });

  it.each(['f1abc', 'f01234', 'f410fkkld55ioe7qg24wvt7fu6pbknb56ht7pt4zamxa'])(
    'when %s signs no deals',
    async (text) => {
      await expect(openWallet(`lotus:${text}`, { endpoints: [], signal })).rejects.toThrow(
        fault('WALLET_INVALID', /WALLET/),
      );
    },
  );
});

it('starts while its node is down, and looks for the key at the first signature', async () => {
  let up = false;
  await using node = await serveRpc((request, response, raw) =>
    up ? lotus(key)(request, response, raw) : void response.destroy(),
  );
  using wallet = await openWallet(setting, { endpoints: [{ url: node.url }], signal });
  await expect(wallet.sign(message)).rejects.toThrow(expect.objectContaining({ retry: 'later' }));
  up = true;
  expect(await wallet.sign(message)).toMatchObject({ type: 1 });
});

it('shows nothing but its address', async () => {
  await using node = await serveRpc(lotus(key));
  using wallet = await openWallet(setting, { endpoints: [{ url: node.url, token: 'tiny-secret' }], signal });
  const lines: string[] = [];
  pino({}, { write: (line: string) => lines.push(line) }).info({ wallet }, 'test');
  const shown = [inspect(wallet, { depth: 9, showHidden: true }), JSON.stringify({ wallet }), ...lines].join('\n');
  expect(shown).toContain(addressOf(key));
  expect(shown).not.toContain('tiny-secret');
});
