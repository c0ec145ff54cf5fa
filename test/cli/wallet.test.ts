import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { wallet } from '../../src/cli/wallet.ts';
import { createDevnetChain, type DevnetChain } from '../../src/devnet/devnet-chain.ts';
import { parseAddress } from '../../src/filecoin/address.ts';
import type { Input, Io } from '../../src/terminal.ts';
import { FIL, PROVIDER } from '../devnet/ledger/chain-fixture.ts';
import vectors from '../vectors/signatures.json' with { type: 'json' };

let chain: DevnetChain;
let folder: string;
const [vector] = vectors.vectors;
const { lotusExportHex: exported = '', address = '' } = vector ?? {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-wallet-cli-'));
  chain = await createDevnetChain({ epochMs: 50, seed: 'wallet' });
  chain.ledger.registerMiner({ id: PROVIDER });
});
afterAll(async () => {
  await chain.close();
  await rm(folder, { recursive: true, force: true });
});

function typed(text: string, isTTY = false): Input {
  return Object.assign(Readable.from([text]), { isTTY });
}

async function run(args: string[], input?: Input) {
  const printed: string[] = [];
  const said: string[] = [];
  const io: Io = {
    env: {
      CHAIN_NETWORK: 'devnet',
      CHAIN_RPC_URL: chain.rpcUrl,
      WALLET: `file:${join(folder, 'client.key')}`,
      DATA_DIR: folder,
    },
    print: (line) => printed.push(line),
    say: (line) => said.push(line),
    isTerminal: false,
    signal: new AbortController().signal,
    ...(input !== undefined && { input }),
  };
  const code = await wallet.run(args, io);
  return { code: code ?? 0, printed: printed.join('\n'), said: said.join('\n') };
}

const fault = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

it('imports a key from standard input, never over another, and shows its address', async () => {
  const file = join(folder, 'client.key');
  const { printed } = await run(['import', file], typed(`${exported}\n`));
  expect(printed).toContain(address);
  expect(printed).not.toContain(exported);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await expect(run(['import', file], typed(exported))).rejects.toThrow(fault('WALLET_EXISTS', /left as it is/));
  const copy = join(folder, 'copy.key');
  expect(JSON.parse((await run(['import', copy, '--from', file, '--json'])).printed)).toEqual({
    address,
    type: 'secp256k1',
    file: copy,
  });
  expect(await readFile(copy, 'utf8')).toBe(await readFile(file, 'utf8'));
  expect((await run(['address'])).printed).toBe(address);
  await expect(run(['import', join(folder, 'x')], typed('x'.repeat(9_999)))).rejects.toThrow(/too long/);
});

it('shows what the address has, and that it has nothing yet', async () => {
  expect((await run(['balance'])).printed).toMatch(/is not on the chain yet: send it some FIL/);
  chain.ledger.fund(parseAddress(address), { attoFil: 100n * FIL, dataCapBytes: 1n << 40n });
  await expect.poll(async () => (await run(['balance'])).printed).toMatch(/balance {2}100 FIL/);
  const { printed } = await run(['balance']);
  expect(printed).toMatch(/market {3}100 FIL free, 0 FIL locked, 100 FIL in all/);
  expect(printed).toMatch(/DataCap {2}1 TiB/);
  expect(JSON.parse((await run(['balance', '--json'])).printed)).toMatchObject({
    address,
    id: expect.stringMatching(/^f0\d+$/),
    balance: (100n * FIL).toString(),
    free: (100n * FIL).toString(),
    datacapBytes: 2 ** 40,
  });
});

it.each(['', 'abc', '1e3', '1,5', '.5', '0', '0x10', '1.0000000000000000001', '9'.repeat(99)])(
  'says how an amount is meant, and not where it failed: %s',
  async (text) => {
    await expect(run(['market-add', text, '--yes'])).rejects.toThrow(fault('USAGE', /^AMOUNT: .*such as 1\.5/));
    if (text !== '0')
      await expect(run(['market-add', '1', '--max', text])).rejects.toThrow(fault('USAGE', /^--max: .*such as 1\.5/));
  },
);

it('says that there is no export where it was told to look', async () => {
  const importing = run(['import', join(folder, 'y'), '--from', join(folder, 'nosuch')]);
  await expect(importing).rejects.toThrow(fault('WALLET_UNREADABLE', /nosuch/));
  await expect(run(['import', join(folder, 'y'), '--from', folder])).rejects.toThrow(fault('WALLET_UNREADABLE', /./));
});

it('never repeats a key that was given where a file belongs', async () => {
  const json = Buffer.from(exported, 'hex').toString('utf8');
  for (const args of [
    ['import', join(folder, 'z'), '--from', exported],
    ['import', join(folder, 'z'), '--from', json],
    ['import', exported],
    ['new', exported.toUpperCase()],
    ['import', join(folder, 'z'), exported],
  ]) {
    const error: unknown = await run(args, typed('')).catch((thrown: unknown) => thrown);
    expect(error).toEqual(fault('USAGE', /not the key itself/));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/7b22|PrivateKey/i);
  }
});

it('names the new key by a path that holds wherever the service starts', async () => {
  const file = join(relative(process.cwd(), folder), 'relative.key');
  const { printed } = await run(['new', file]);
  expect(printed).toContain(`WALLET=file:${join(folder, 'relative.key')}`);
});

it('adds to the market balance when told to, within the limit', async () => {
  await expect(run(['market-add', '11'])).rejects.toThrow(fault('TOP_UP_LIMIT', /give --max 11/));
  await expect(run(['market-add', '0'])).rejects.toThrow(fault('USAGE', /above zero/));
  await expect(run(['market-add', '1.5'], typed('y\n'))).rejects.toThrow(fault('USAGE', /give --yes/));
  expect(await run(['market-add', '1.5'], typed('n\n', true))).toMatchObject({ code: 1, printed: 'nothing was sent' });
  const asked = await run(['market-add', '1.5'], typed('y\n', true));
  expect(asked).toMatchObject({ code: 0, printed: expect.stringMatching(/^1\.5 FIL are in the market balance/) });
  const scripted = await run(['market-add', '20', '--max', '50', '--yes', '--json']);
  expect(JSON.parse(scripted.printed)).toMatchObject({ kind: 'added', amount: (20n * FIL).toString() });
  expect(JSON.parse((await run(['balance', '--json'])).printed)).toMatchObject({
    free: ((1_000n + 215n) * (FIL / 10n)).toString(),
  });
});
