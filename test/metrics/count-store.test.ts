import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { countStore } from '../../src/metrics/count-store.ts';
import { createCounters } from '../../src/metrics/counters.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { readExposition, valueOf } from './read-exposition.ts';

test('a store that is counted is the same store, and tells of what it did, what failed and how many bytes moved', async () => {
  await using folder = await temporaryFolder();
  const registry = new Registry();
  const store = countStore(await openLocalStore(folder.path), createCounters(registry));
  const bytes = Buffer.alloc(3 * 2 ** 20, 'lading');
  const staged = await store.stage('a/one');
  await staged.write(bytes.subarray(0, 1_000));
  await staged.write(bytes.subarray(1_000));
  await staged.commit();
  const read: Buffer[] = [];
  for await (const chunk of store.read('a/one', 500, 2_500_000)) read.push(Buffer.from(chunk));
  expect(Buffer.concat(read).equals(bytes.subarray(500, 2_500_500))).toBe(true);
  expect(await store.size('a/one')).toBe(bytes.length);
  const missing = async () => {
    for await (const _chunk of store.read('a/two', 0, 5)) throw new Error('there is nothing');
  };
  await expect(missing()).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
  // Whoever stops early leaves no file open, and was given what it was given.
  let first = 0;
  for await (const chunk of store.read('a/one', 0, bytes.length)) {
    first = chunk.length;
    break;
  }
  await store.remove('a/one');
  const listed: string[] = [];
  for await (const { key } of store.list()) listed.push(key);
  expect(listed).toEqual([]);

  const families = readExposition(await registry.metrics());
  const count = (operation: string, outcome: string) =>
    valueOf(families, 'lading_store_operation_duration_seconds_count', { operation, outcome });
  expect([count('commit', 'done'), count('size', 'done'), count('remove', 'done')]).toEqual([1, 1, 1]);
  expect([count('read', 'done'), count('read', 'failed')]).toEqual([2, 1]);
  expect(valueOf(families, 'lading_store_written_bytes_total')).toBe(bytes.length);
  expect(valueOf(families, 'lading_store_read_bytes_total')).toBe(2_500_000 + first);
  store.close();
});
