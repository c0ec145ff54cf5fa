import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { epochAt, epochTime, formatEpochTime } from '../../src/filecoin/epoch.ts';
import { isNetworkName, networks } from '../../src/filecoin/networks.ts';

test('samples from lotus: a mainnet tipset and a calibration upgrade', () => {
  const { mainnet, calibration } = networks;
  expect(epochTime(mainnet.genesisSeconds ?? 0, 4_863_283).getTime()).toBe(1_744_204_890_000);
  expect(formatEpochTime(epochTime(calibration.genesisSeconds ?? 0, 3_007_294))).toBe('2025-09-10 23:00:00');
});

test('an epoch contains its first moment and its last, not the next one', () => {
  const genesis = fc.integer({ min: 0, max: 2_000_000_000 });
  const property = fc.property(genesis, fc.integer({ min: -100, max: 20_000_000 }), (genesisSeconds, epoch) => {
    const start = epochTime(genesisSeconds, epoch).getTime();
    expect(epochAt(genesisSeconds, new Date(start))).toBe(epoch);
    expect(epochAt(genesisSeconds, new Date(start + 29_999))).toBe(epoch);
    expect(epochAt(genesisSeconds, new Date(start + 30_000))).toBe(epoch + 1);
  });
  fc.assert(property);
});

test('names of networks', () => {
  expect(['mainnet', 'calibration', 'devnet'].every(isNetworkName)).toBe(true);
  expect(['', 'Mainnet', 'toString', 'butterfly'].some(isNetworkName)).toBe(false);
  for (const [name, network] of Object.entries(networks)) expect(network.name).toBe(name);
});
