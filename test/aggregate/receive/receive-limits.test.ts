import { expect, test } from 'vitest';
import { SpaceGuard } from '../../../src/aggregate/receive/receive-limits.ts';

const GIB = 2 ** 30;
const limits = { maxUploadBytes: 10n ** 12n, minFreeBytes: BigInt(GIB), maxBlocks: 10 };

/** A store that has so much free, and how often it was asked. */
function storeWith(freeBytes: number) {
  const store = {
    freeBytes: async () => {
      store.asked += 1;
      return store.free;
    },
    free: freeBytes,
    asked: 0,
  };
  return store;
}

async function begin(store: ReturnType<typeof storeWith>, declaredBytes: number | undefined, times = 1) {
  for (let nth = 0; nth < times; nth += 1) await new SpaceGuard(store, limits).begin(declaredBytes);
}

test('small uploads to a store with plenty of space ask it now and then', async () => {
  const store = storeWith(3 * GIB);
  await begin(store, 10_000, 514);
  expect(store.asked).toBe(2);
  store.free = GIB;
  await begin(store, 10_000, 512);
  await expect(begin(store, 10_000)).rejects.toMatchObject({ code: 'STORE_FULL' });
});

test('large uploads, those of unknown length, and all where space is short ask each time', async () => {
  const roomy = storeWith(3 * GIB);
  await begin(roomy, 2 * 1024 * 1024, 3);
  await begin(roomy, undefined, 3);
  expect(roomy.asked).toBe(6);
  const short = storeWith(1.5 * GIB);
  await begin(short, 10_000, 3);
  expect(short.asked).toBe(3);
  short.free = GIB + 9_999;
  await expect(begin(short, 10_000)).rejects.toMatchObject({ code: 'STORE_FULL' });
});
