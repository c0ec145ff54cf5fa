import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findProvider, insertProvider, noteFailure } from '../../../src/deals/providers/provider-store.ts';
import { addProvider, refreshProviders } from '../../../src/deals/providers/providers.ts';
import { testDatabase } from '../../support/database.ts';
import { scriptedChain } from '../scripted-world.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;

let database: Awaited<ReturnType<typeof testDatabase>>;
let chain: ReturnType<typeof scriptedChain>;

beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database[Symbol.asyncDispose]());
beforeEach(async () => {
  await database.kysely.deleteFrom('providers').execute();
  chain = scriptedChain();
});

const depsNow = () => ({ db: database.kysely, chain: chain.chain, clock: { now: () => start } });
/** A provider whose addresses were read once, and are to be read again. */
const staleProvider = async () => {
  await addProvider(depsNow(), { id: 'f01000' });
  await database.kysely.updateTable('providers').set({ resolved_at: null }).execute();
  const provider = await findProvider(database.kysely, 'f01000');
  if (provider === undefined) throw new Error('it was not added');
  return provider;
};

describe('providers', () => {
  it('keep what an operator gave, and take the rest from the chain', async () => {
    const peerId = '12D3KooWGQmdpbHJVRqBGUZZpN9uzfjSZyzVVcrEDCSjsaRnCwvN';
    const added = await addProvider(depsNow(), { id: 't01002', peerId, multiaddrs: ['/ip4/192.0.2.7/tcp/1'] });
    expect(added).toMatchObject({
      id: 'f01002',
      addressSource: 'manual',
      peerId,
      multiaddrs: ['/ip4/192.0.2.7/tcp/1'],
      sectorBytes: 32n * 2n ** 30n,
      ownerId: 'f010029',
      resolvedAt: start,
    });
  });

  it('keep why they could not be resolved, and what was known before', async () => {
    const stale = await staleProvider();
    chain.state.minerInfoError = new Error('actor not found');
    const unknown = await addProvider(depsNow(), { id: 'f01003' });
    expect(unknown).toMatchObject({ peerId: undefined, resolvedAt: undefined, resolveError: 'actor not found' });
    const [refreshed] = await refreshProviders(depsNow(), [stale], signal);
    expect(refreshed).toMatchObject({ peerId: 'peer-of-f01000', resolveError: 'actor not found' });
  });

  it('are not blamed when our own stop cuts resolving short', async () => {
    const stale = await staleProvider();
    const stop = new AbortController();
    const minerInfo: typeof chain.chain.minerInfo = (_id, options) =>
      new Promise((_resolve, reject) => {
        options?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
        stop.abort(new Error('stopping'));
      });
    const refreshing = refreshProviders({ ...depsNow(), chain: { minerInfo } }, [stale], stop.signal);
    await expect(refreshing).rejects.toThrow('stopping');
    expect((await findProvider(database.kysely, 'f01000'))?.resolveError).toBeUndefined();
  });

  it.each(['f1drv36h2ldc4xzhjfiwicxsq6rgkl6z5vhit2roq', '1000', 'f0', 'f0x', ''])(
    'are refused without an id: %s',
    async (id) => {
      await expect(addProvider(depsNow(), { id })).rejects.toMatchObject({ code: 'PROVIDER_INVALID' });
    },
  );

  it('rest as long as the longest of what they did asks for', async () => {
    await addProvider(depsNow(), { id: 'f01000' });
    for (const hours of [24, 1]) {
      await noteFailure(database.kysely, 'f01000', new Date(start.getTime() + hours * 3_600_000));
    }
    expect(await findProvider(database.kysely, 'f01000')).toMatchObject({
      failures: 2,
      retryAt: new Date('2026-03-02T00:00:00Z'),
    });
  });

  it('are enabled again by adding them again', async () => {
    await staleProvider();
    await database.kysely.updateTable('providers').set({ state: 'removed', failures: 4, retry_at: start }).execute();
    const again = await insertProvider(database.kysely, { id: 'f01000', manual: undefined, at: start });
    expect(again).toMatchObject({ state: 'enabled', failures: 0, retryAt: undefined });
  });
});
