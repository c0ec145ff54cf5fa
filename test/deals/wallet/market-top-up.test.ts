import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createRpc, type RpcPool } from '../../../src/chain/rpc.ts';
import { RpcError } from '../../../src/chain/rpc-error.ts';
import { topUpMarket, type TopUpDeps } from '../../../src/deals/wallet/market-top-up.ts';
import { openTopUpRecord } from '../../../src/deals/wallet/top-up-record.ts';
import type { Wallet } from '../../../src/deals/wallet/wallet.ts';
import { createDevnetChain, type DevnetChain } from '../../../src/devnet/devnet-chain.ts';
import { formatAddress } from '../../../src/filecoin/address.ts';
import { signedMessageCid } from '../../../src/filecoin/messages.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../../src/filecoin/lotus-key.ts';
import { blsClient, blsKey, client, FIL, PROVIDER, secpKey } from '../../devnet/ledger/chain-fixture.ts';

const signal = new AbortController().signal;
let chain: DevnetChain;
let folder: string;
let pool: RpcPool;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-top-up-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  chain = await createDevnetChain({ epochMs: 1_000, isPaused: true, seed: 'top-up' });
  chain.ledger.registerMiner({ id: PROVIDER });
  for (const address of [client, blsClient]) chain.ledger.fund(address, { attoFil: 100n * FIL, dataCapBytes: 0n });
  chain.ledger.advance(3);
  pool = createRpc({ endpoints: [{ url: chain.rpcUrl }] });
});
afterEach(async () => {
  pool.close();
  await chain.close();
  await rm(join(folder, 'wallet'), { recursive: true, force: true });
});

const walletOf = (key: LotusKey): Wallet => ({
  address: () => Promise.resolve(formatAddress(keyAddress(key))),
  sign: (message) => Promise.resolve(signWithKey(key, message)),
});

function depsFor(key: LotusKey, rpc: TopUpDeps['rpc'] = pool) {
  const lines: string[] = [];
  const deps: TopUpDeps = {
    rpc,
    wallet: walletOf(key),
    record: openTopUpRecord(folder, formatAddress(keyAddress(key))),
    sleep: () => {
      chain.ledger.advance(1);
      return Promise.resolve();
    },
    say: (line) => lines.push(line),
  };
  return { deps, lines };
}

const yes = { amount: 5n * FIL, confirm: () => Promise.resolve(true) };
/** What came to the market balance since the devnet's gift of as much as the account got. */
const escrowOf = (key: LotusKey) => (chain.ledger.marketBalance(keyAddress(key))?.escrow ?? 0n) - 100n * FIL;
const fault = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });
const onRecord = () => readdir(join(folder, 'wallet')).catch(() => []);

describe.each([secpKey, blsKey])('a top-up by a $type key', (key) => {
  it('is executed, asked for once, and off the record in the end', async () => {
    const asked: unknown[] = [];
    const confirm = (facts: unknown) => {
      asked.push(facts);
      return Promise.resolve(true);
    };
    const end = await topUpMarket(depsFor(key).deps, { amount: yes.amount, confirm }, signal);
    expect(end).toMatchObject({ kind: 'added', amount: 5n * FIL, message: expect.stringMatching(/^bafy2bzace/) });
    expect(asked).toEqual([{ address: formatAddress(keyAddress(key)), balance: 100n * FIL, maxFee: FIL / 10n }]);
    expect(escrowOf(key)).toBe(5n * FIL);
    expect(await onRecord()).toEqual([]);
  });
});

/** The `at`-th call ends the process: before the node heard of it, or after it was done. */
function dyingPool(at: number, when: 'before' | 'after'): TopUpDeps['rpc'] & { died: () => boolean } {
  let calls = 0;
  let hasDied = false;
  const die = () => {
    hasDied = true;
    throw new Error('killed');
  };
  async function guard<T>(act: () => Promise<T>): Promise<T> {
    const isLast = calls++ === at;
    if (isLast && when === 'before') die();
    const value = await act();
    if (isLast) die();
    return value;
  }
  return {
    read: (read, stop) => guard(() => pool.read(read, stop)),
    readMany: (reads, stop) => guard(() => pool.readMany(reads, stop)),
    write: (write, stop) => guard(() => pool.write(write, stop)),
    died: () => hasDied,
  };
}

it.each(['before', 'after'] as const)('is added once, wherever it is killed (%s a call)', async (when) => {
  let expected = 0n;
  for (let at = 0; ; at += 1) {
    const dying = dyingPool(at, when);
    const outcome = await topUpMarket(depsFor(secpKey, dying).deps, yes, signal).catch((error: unknown) => error);
    if (dying.died()) {
      expect(outcome).toEqual(new Error('killed'));
      await topUpMarket(depsFor(secpKey).deps, yes, signal);
    }
    expected += yes.amount;
    expect(escrowOf(secpKey)).toBe(expected);
    expect(await onRecord()).toEqual([]);
    if (!dying.died()) {
      // Balance, nonce, gas, push, and at least one look.
      expect(at).toBeGreaterThan(4);
      return;
    }
  }
});

it('of another amount waits for the one under way, and is not begun', async () => {
  await topUpMarket(depsFor(secpKey, dyingPool(4, 'before')).deps, yes, signal).catch(() => undefined);
  expect(await onRecord()).toHaveLength(1);
  const { deps, lines } = depsFor(secpKey);
  const end = await topUpMarket(deps, { ...yes, amount: 7n * FIL }, signal);
  expect(end).toMatchObject({ kind: 'earlier', amount: 5n * FIL });
  expect(lines[0]).toMatch(/a top-up of 5 FIL is under way/);
  expect(escrowOf(secpKey)).toBe(5n * FIL);
});

it('does not hold a key, and is its owner\u2019s alone, while it is on record', async () => {
  await topUpMarket(depsFor(secpKey, dyingPool(4, 'before')).deps, yes, signal).catch(() => undefined);
  const [name = ''] = await onRecord();
  const path = join(folder, 'wallet', name);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, 'utf8')).not.toContain(Buffer.from(secpKey.privateKey).toString('hex'));
  await writeFile(path, 'torn');
  await expect(topUpMarket(depsFor(secpKey).deps, yes, signal)).rejects.toThrow(
    fault('TOP_UP_UNREADABLE', /then remove it/),
  );
});

it('stays on record when one node refuses what another may hold', async () => {
  await topUpMarket(depsFor(secpKey, dyingPool(4, 'before')).deps, yes, signal).catch(() => undefined);
  const stranger: TopUpDeps['rpc'] = {
    ...pool,
    read: async (read, stop) => {
      if (read.method === 'StateSearchMsg') return read.parse(null, read.method);
      return read.method === 'MpoolGetNonce' ? read.parse(0, read.method) : await pool.read(read, stop);
    },
    write: ({ method }) =>
      Promise.reject(new RpcError('RPC_ERROR', 'mpool push: not enough funds', { method, retry: 'never' })),
  };
  await expect(topUpMarket(depsFor(secpKey, stranger).deps, yes, signal)).rejects.toThrow(
    fault('TOP_UP_UNSETTLED', /not enough funds.*remove .*top-up-f1/),
  );
  expect(await onRecord()).toHaveLength(1);
  expect(await topUpMarket(depsFor(secpKey).deps, yes, signal)).toMatchObject({ kind: 'added' });
  expect(escrowOf(secpKey)).toBe(5n * FIL);
});

it('leaves the record of a later one alone, when another command waited for the same', async () => {
  await topUpMarket(depsFor(secpKey, dyingPool(4, 'before')).deps, yes, signal).catch(() => undefined);
  const { record } = depsFor(secpKey).deps;
  const first = await record.find();
  if (first === undefined) throw new Error('nothing is on record');
  await record.forget(first);
  const later = { ...first[0], message: { ...first[0].message, nonce: 1 } };
  await record.keep(later);
  await record.forget(first);
  expect(await record.find()).toEqual([later]);
});

describe('nothing is sent', () => {
  const untouched = async () => {
    expect(escrowOf(secpKey)).toBe(0n);
    expect(await onRecord()).toEqual([]);
  };

  it('when a person declines', async () => {
    const declined = { ...yes, confirm: () => Promise.resolve(false) };
    expect(await topUpMarket(depsFor(secpKey).deps, declined, signal)).toMatchObject({ kind: 'declined' });
    await untouched();
  });

  it('when there is less than the amount and its fees', async () => {
    const all = { ...yes, amount: 100n * FIL };
    await expect(topUpMarket(depsFor(secpKey).deps, all, signal)).rejects.toThrow(fault('TOP_UP_POOR', /send it some/));
    await untouched();
  });

  it('when the node names a fee beyond reason', async () => {
    const greedy: TopUpDeps['rpc'] = {
      ...pool,
      read: async (read, stop) =>
        read.method === 'GasEstimateMessageGas'
          ? read.parse({ GasLimit: 10 ** 9, GasFeeCap: '1000000000000', GasPremium: '1' }, read.method)
          : await pool.read(read, stop),
    };
    await expect(topUpMarket(depsFor(secpKey, greedy).deps, yes, signal)).rejects.toThrow(
      fault('TOP_UP_FEE', /1000 FIL in fees/),
    );
    await untouched();
  });

  it('when the wallet signs as somebody else', async () => {
    const { deps } = depsFor(secpKey);
    const wallet = { ...walletOf(secpKey), sign: walletOf(blsKey).sign };
    await expect(topUpMarket({ ...deps, wallet }, yes, signal)).rejects.toThrow(fault('WALLET_SIGNATURE_WRONG', /./));
    await untouched();
  });

  it('and nothing stays on record, when the node refuses the message', async () => {
    const { deps } = depsFor(secpKey);
    // The balance is gone between our look and the push.
    const poor: TopUpDeps['rpc'] = {
      ...pool,
      read: async (read, stop) =>
        read.method === 'WalletBalance'
          ? read.parse((10n ** 30n).toString(), read.method)
          : await pool.read(read, stop),
    };
    const rich = { ...yes, amount: 99_999n * FIL };
    await expect(topUpMarket({ ...deps, rpc: poor }, rich, signal)).rejects.toThrow(/./);
    await untouched();
  });
});

it('gives up waiting in the end, and goes on the next time', async () => {
  const { deps } = depsFor(secpKey);
  const still = { ...deps, sleep: () => Promise.resolve() };
  await expect(topUpMarket(still, yes, signal)).rejects.toThrow(fault('TOP_UP_WAITING', /run the same command again/));
  expect(await topUpMarket(deps, yes, signal)).toMatchObject({ kind: 'added' });
  expect(escrowOf(secpKey)).toBe(5n * FIL);
});

describe('a fee that was too low', () => {
  const waitInVain = async () => {
    const { deps } = depsFor(secpKey);
    const still = { ...deps, sleep: () => Promise.resolve() };
    await expect(topUpMarket(still, yes, signal)).rejects.toThrow(fault('TOP_UP_WAITING', /--raise-fee/));
    const found = await deps.record.find();
    if (found === undefined) throw new Error('nothing is on record');
    return signedMessageCid(found[0]).toString();
  };

  it('is raised, and the amount is added once', async () => {
    const first = await waitInVain();
    const { deps, lines } = depsFor(secpKey);
    const end = await topUpMarket(deps, { ...yes, raiseFee: true }, signal);
    expect(end).toMatchObject({ kind: 'added', amount: 5n * FIL, message: expect.stringMatching(/^bafy2bzace/) });
    expect(end.message).not.toBe(first);
    // The devnet's gas estimation asks for 99,820; Lotus takes a replacement from a quarter more on.
    expect(lines.join()).toMatch(/nonce 0, premium 124776/);
    expect(escrowOf(secpKey)).toBe(5n * FIL);
    expect(await onRecord()).toEqual([]);
  });

  it.each([0, 1, 2, 3, 4, 5])('is raised once, when that is killed at call %i', async (at) => {
    await waitInVain();
    const dying = depsFor(secpKey, dyingPool(at, 'after')).deps;
    const raised = { ...yes, raiseFee: true };
    await topUpMarket({ ...dying, sleep: () => Promise.resolve() }, raised, signal).catch(() => undefined);
    expect(await topUpMarket(depsFor(secpKey).deps, raised, signal)).toMatchObject({ kind: 'added', amount: 5n * FIL });
    expect(escrowOf(secpKey)).toBe(5n * FIL);
    expect(await onRecord()).toEqual([]);
  });

  it('counts the first one when that is executed after all', async () => {
    const first = await waitInVain();
    const { deps } = depsFor(secpKey);
    // It was never pushed: the one before it is taken into a block.
    const mute = {
      ...pool,
      write: () => Promise.reject(new RpcError('RPC_WRITE_UNKNOWN', 'lost', { method: 'MpoolPush', retry: 'never' })),
    };
    const end = await topUpMarket({ ...deps, rpc: mute }, { ...yes, raiseFee: true }, signal);
    expect(end).toMatchObject({ kind: 'added', message: first });
    expect(escrowOf(secpKey)).toBe(5n * FIL);
  });
});

describe('when the chain says something else of it', () => {
  it('waits for what was pushed without an answer', async () => {
    const deaf: TopUpDeps['rpc'] = {
      ...pool,
      write: async (write, stop) => {
        await pool.write(write, stop);
        throw new RpcError('RPC_WRITE_UNKNOWN', 'no answer', { method: 'MpoolPush', retry: 'never' });
      },
    };
    expect(await topUpMarket(depsFor(secpKey, deaf).deps, yes, signal)).toMatchObject({ kind: 'added' });
    expect(escrowOf(secpKey)).toBe(5n * FIL);
  });

  it('ends when another message took its nonce', async () => {
    const ousted: TopUpDeps['rpc'] = {
      ...pool,
      read: async (read, stop) => {
        if (read.method !== 'StateSearchMsg') return await pool.read(read, stop);
        const words =
          'found message with equal nonce as the one we are looking for that is NOT a valid replacement message';
        throw new RpcError('RPC_ERROR', words, { method: read.method, retry: 'never' });
      },
    };
    await expect(topUpMarket(depsFor(secpKey, ousted).deps, yes, signal)).rejects.toThrow(
      fault('TOP_UP_REPLACED', /took the nonce/),
    );
    expect(await onRecord()).toEqual([]);
  });

  it('waits while the node is away, and says so when it failed', async () => {
    let looks = 0;
    const shaky: TopUpDeps['rpc'] = {
      ...pool,
      read: async (read, stop) => {
        if (read.method !== 'StateSearchMsg') return await pool.read(read, stop);
        if (looks++ < 3) throw new RpcError('RPC_UNREACHABLE', 'gone', { method: read.method });
        const found = { Message: { '/': 'bafyfailed' }, Receipt: { ExitCode: 16, Return: null } };
        return read.parse({ ...found, TipSet: [{ '/': 'bafytipset' }], Height: 9 }, read.method);
      },
    };
    await expect(topUpMarket(depsFor(secpKey, shaky).deps, yes, signal)).rejects.toThrow(
      fault('TOP_UP_FAILED', /exit code 16/),
    );
    expect(await onRecord()).toEqual([]);
  });
});
