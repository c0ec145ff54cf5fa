import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWalletFile, importWalletFile, openWalletFile } from '../../../src/deals/wallet/local-wallet.ts';
import { openWallet as open } from '../../../src/deals/wallet/open-wallet.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { parseLotusKey } from '../../../src/filecoin/lotus-key.ts';
import vectors from '../../vectors/signatures.json' with { type: 'json' };
import { verifySignature } from '../../../src/filecoin/signature.ts';

const openWallet = (setting: string) => open(setting, { endpoints: [], signal: new AbortController().signal });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-wallet-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fault = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe.each(['secp256k1', 'bls'] as const)('a %s wallet file', (type) => {
  it('is written for its owner alone, and signs as the address it printed', async () => {
    const path = join(folder, `${type}.key`);
    const address = await createWalletFile(path, type, randomBytes);
    expect(address).toMatch(type === 'bls' ? /^f3/ : /^f1/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const wallet = await openWallet(`file:${path}`);
    expect(await wallet.address()).toBe(address);
    const message = new TextEncoder().encode('a message');
    const signature = await wallet.sign(message);
    expect(verifySignature(signature, message, parseAddress(address))).toBe(true);
    expect(verifySignature(signature, new TextEncoder().encode('another'), parseAddress(address))).toBe(false);
  });

  it('is never written over', async () => {
    const path = join(folder, `${type}.key`);
    const before = await readFile(path, 'utf8');
    await expect(createWalletFile(path, type, randomBytes)).rejects.toThrow(fault('WALLET_EXISTS', /exists already/));
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it('gives nothing away when the wallet is shown, logged or turned into JSON', async () => {
    const path = join(folder, `${type}.key`);
    const wallet = await openWalletFile(path);
    const { privateKey } = parseLotusKey((await readFile(path, 'utf8')).trim());
    const lines: string[] = [];
    pino({}, { write: (line: string) => lines.push(line) }).info({ wallet, nested: { wallet } }, 'test');
    const shown = [
      inspect(wallet, { depth: 9, showHidden: true }),
      JSON.stringify({ wallet }),
      inspect(Object.entries(wallet)),
      ...lines,
    ].join('\n');
    expect(shown).toContain(await wallet.address());
    const spellings = [
      Buffer.from(privateKey).toString('hex'),
      Buffer.from(privateKey).toString('base64'),
      [...privateKey].join(','),
    ];
    expect(spellings.filter((spelling) => shown.includes(spelling))).toEqual([]);
    expect(shown).not.toMatch(/privateKey/i);
  });
});

describe('openWallet', () => {
  it('refuses a key that others can read', async () => {
    const path = join(folder, 'open.key');
    await createWalletFile(path, 'secp256k1', randomBytes);
    await chmod(path, 0o640);
    await expect(openWalletFile(path)).rejects.toThrow(fault('WALLET_EXPOSED', /mode 640\): run chmod 600/));
    await chmod(path, 0o400);
    expect(await (await openWalletFile(path)).address()).toMatch(/^f1/);
  });

  it('refuses what is no file, and does not wait for a pipe that nobody writes to', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('sh', ['-c', 'mkfifo -m 600 "$0"', pipe]);
    await chmod(folder, 0o700);
    for (const path of [pipe, folder])
      await expect(openWalletFile(path)).rejects.toThrow(fault('WALLET_INVALID', /is not a file/));
  });

  it('follows links to what only the owner can read, and never writes through one', async () => {
    const [target, link] = [join(folder, 'linked.key'), join(folder, 'link')];
    await symlink(target, link);
    await expect(createWalletFile(link, 'bls', randomBytes)).rejects.toThrow(fault('WALLET_EXISTS', /./));
    const address = await createWalletFile(target, 'bls', randomBytes);
    expect(await (await openWalletFile(link)).address()).toBe(address);
    await chmod(target, 0o644);
    await expect(openWalletFile(link)).rejects.toThrow(fault('WALLET_EXPOSED', /./));
  });

  it('lets one of many that write at once have the name', async () => {
    const path = join(folder, 'raced.key');
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => createWalletFile(path, 'secp256k1', randomBytes)),
    );
    const made = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(made).toEqual([await (await openWalletFile(path)).address()]);
  });

  it('says that a file is no key, and nothing of what is in it', async () => {
    const path = join(folder, 'bad.key');
    const inside = Buffer.from('{"Type":"secp256k1","PrivateKey":"c2VjcmV0"}').toString('hex');
    await writeFile(path, inside, { mode: 0o600 });
    const error: unknown = await openWalletFile(path).catch((thrown: unknown) => thrown);
    expect(error).toEqual(fault('WALLET_INVALID', /not a wallet key in Lotus export format/));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/c2VjcmV0|secret|7b2254/);
  });

  it('refuses what is missing, too large, or not supported yet', async () => {
    await expect(openWallet(`file:${join(folder, 'missing')}`)).rejects.toThrow(fault('WALLET_UNREADABLE', /ENOENT/));
    await writeFile(join(folder, 'large'), 'a'.repeat(5_000), { mode: 0o600 });
    await expect(openWallet(`file:${join(folder, 'large')}`)).rejects.toThrow(fault('WALLET_INVALID', /too large/));
    await expect(openWallet('/a/path')).rejects.toThrow(fault('WALLET_UNSUPPORTED', /file:/));
  });
});

describe('importWalletFile', () => {
  const [secp] = vectors.vectors;
  const exported = secp?.lotusExportHex ?? '';
  const json = Buffer.from(exported, 'hex').toString('utf8');

  it.each([
    ['hex', `${exported}\n`],
    ['JSON', ` ${json}\n`],
  ])('takes an export as %s, into a file for its owner alone', async (name, text) => {
    const path = join(folder, `imported-${name}.key`);
    expect(await importWalletFile(path, text)).toBe(secp?.address);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).toBe(`${exported}\n`);
    expect(await (await openWalletFile(path)).address()).toBe(secp?.address);
    await expect(importWalletFile(path, text)).rejects.toThrow(fault('WALLET_EXISTS', /exists already/));
  });

  it('says nothing of what was given when that is no key, and writes nothing', async () => {
    const path = join(folder, 'not-imported.key');
    for (const text of ['', '{"Type":"bls","PrivateKey":"c2VjcmV0"}', '{"c2VjcmV0', exported.slice(2)]) {
      const error: unknown = await importWalletFile(path, text).catch((thrown: unknown) => thrown);
      expect(error).toEqual(fault('WALLET_INVALID', /lotus wallet export/));
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/c2VjcmV0|secret|7b2254/);
    }
    await expect(stat(path)).rejects.toThrow(/ENOENT/);
  });
});
