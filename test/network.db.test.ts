import { expect, it } from 'vitest';
import { openNetwork } from '../src/network.ts';
import { testDatabase } from './support/database.ts';

const signal = new AbortController().signal;
const chainOf = (cid: string, timestampSeconds: number) => ({
  genesis: () => Promise.resolve({ key: [cid], height: 0, timestampSeconds }),
});
const MAINNET_GENESIS = 1_598_306_400;

it('binds a database to its first network, and refuses another by name', async () => {
  await using db = await testDatabase();
  await openNetwork(db.kysely, 'calibration');
  await openNetwork(db.kysely, 'calibration');
  await expect(openNetwork(db.kysely, 'mainnet')).rejects.toThrow(
    /belongs to calibration, and CHAIN_NETWORK is mainnet/,
  );
});

it('knows mainnet’s genesis at once, and a devnet’s from first contact on, over restarts', async () => {
  await using db = await testDatabase();
  const network = await openNetwork(db.kysely, 'devnet');
  expect(network.dealNetwork()).toBeUndefined();
  await network.meet(chainOf('bafygenesis', 1_700_000_000), signal);
  expect(network.dealNetwork()).toEqual({ genesisSeconds: 1_700_000_000, addressLetter: 'f' });
  const again = await openNetwork(db.kysely, 'devnet');
  expect(again.dealNetwork()?.genesisSeconds).toBe(1_700_000_000);

  await using other = await testDatabase();
  expect((await openNetwork(other.kysely, 'mainnet')).dealNetwork()?.genesisSeconds).toBe(MAINNET_GENESIS);
});

it('refuses the chain of another genesis', async () => {
  await using db = await testDatabase();
  const network = await openNetwork(db.kysely, 'devnet');
  await network.meet(chainOf('bafyone', 1_700_000_000), signal);
  await network.meet(chainOf('bafyone', 1_700_000_000), signal);
  await expect(network.meet(chainOf('bafytwo', 1_700_000_000), signal)).rejects.toThrow(/another|bafytwo/);

  await using other = await testDatabase();
  const mainnet = await openNetwork(other.kysely, 'mainnet');
  await expect(mainnet.meet(chainOf('bafydevnet', 1_700_000_000), signal)).rejects.toMatchObject({
    code: 'NETWORK_DIFFERS',
  });
  await mainnet.meet(chainOf('bafymainnet', MAINNET_GENESIS), signal);
});
