import { readdir, truncate, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { fileToKey, keyToFile } from '../../src/storage/object-key.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import { gather } from '../support/gather.ts';
import { filesBelow, temporaryFolder } from '../support/temporary-folder.ts';
import { describeStore, pattern, put } from './conformance.ts';

describeStore('the local store', async () => {
  const folder = await temporaryFolder();
  return {
    store: await openLocalStore(folder.path),
    reopen: () => openLocalStore(folder.path),
    staged: () => filesBelow(join(folder.path, 'staging')),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});

test('an object is as old as its commit, however long ago its last byte was written', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const staged = await store.stage('runs/slow');
  await staged.write(pattern(1_000_000));
  const staging = join(folder.path, 'staging');
  const yesterday = new Date(Date.now() - 86_400_000);
  for (const name of await readdir(staging)) await utimes(join(staging, name), yesterday, yesterday);
  await staged.commit();
  const [listed] = await gather(store.list());
  expect(Date.now() - (listed?.modifiedAt.getTime() ?? 0)).toBeLessThan(3_600_000);
});

test('an object that shrinks while it is read is an error, not a short answer', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'runs/a', [pattern(2_000_000)]);
  const { shard, name } = keyToFile('runs/a');
  const reader = store.read('runs/a', 0, 2_000_000)[Symbol.asyncIterator]();
  await reader.next();
  await truncate(join(folder.path, 'objects', shard, name), 600_000);
  await reader.next();
  await expect(reader.next()).rejects.toMatchObject({ code: 'STORE_OBJECT_SHORT' });
});

test('keys and file names map one to one, in one flat folder each', () => {
  const key = fc.stringMatching(/^[a-z0-9_-]{1,12}(\/[a-z0-9_-]{1,12}){0,3}$/);
  fc.assert(
    fc.property(key, (text) => {
      const { shard, name } = keyToFile(text);
      expect(shard).toMatch(/^[0-9a-f]{2}$/);
      expect(name).not.toContain('/');
      expect(fileToKey(name)).toBe(text);
    }),
  );
});

test('free space is what the file system says', async () => {
  await using folder = await temporaryFolder();
  expect(await (await openLocalStore(folder.path)).freeBytes()).toBeGreaterThan(0);
});
