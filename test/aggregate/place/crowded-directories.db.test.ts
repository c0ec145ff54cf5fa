import { expect, test } from 'vitest';
import { DirectoryCounts, MAX_DIRECTORY_ENTRIES } from '../../../src/aggregate/place/crowded-directories.ts';
import { stow } from '../../../src/aggregate/place/stow.ts';
import { MAX_ROOT_CHARS } from '../../../src/aggregate/seal/batch-tree-reserve.ts';
import { directoryNode } from '../../../src/filecoin/unixfs.ts';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import type { Database } from '../../../src/db/connect.ts';
import { testDatabase } from '../../support/database.ts';
import { insertBareUpload, never, stowDeps } from '../aggregate-fixture.ts';

/** An upload whose root's end was chosen, as one does who tries many. */
async function insertWithTail({ kysely }: Database, seed: string, tail: string, hours: number): Promise<void> {
  const id = await insertBareUpload(kysely, seed, 500, hours);
  const { root } = await kysely.selectFrom('uploads').select('root').where('id', '=', id).executeTakeFirstOrThrow();
  const chosen = `${root.slice(0, -tail.length)}${tail}`;
  await kysely.updateTable('uploads').set({ root: chosen }).where('id', '=', id).execute();
}

async function tailsByAggregate({ kysely }: Database): Promise<string[][]> {
  const rows = await kysely
    .selectFrom('placements')
    .innerJoin('uploads', 'uploads.id', 'placements.upload_id')
    .select(['aggregate_id', 'root'])
    .orderBy('aggregate_id')
    .orderBy('seq')
    .execute();
  return [...Map.groupBy(rows, (row) => row.aggregate_id).values()].map((all) => all.map(({ root }) => root.slice(-4)));
}

test('roots of one directory go to other aggregates once it is crowded, and wait when all are', async () => {
  await using db = await testDatabase();
  const deps = { ...(await stowDeps(db)), directories: new DirectoryCounts(3) };
  for (let at = 0; at < 3; at += 1) await insertWithTail(db, `crowd ${at}`, 'aaaa', at / 100);
  await stow(deps, never);
  for (let at = 3; at < 6; at += 1) await insertWithTail(db, `crowd ${at}`, 'aaaa', at / 100);
  await insertWithTail(db, 'neighbour', 'aaab', 0.5);
  await stow(deps, never);
  expect(await tailsByAggregate(db)).toEqual([
    ['aaaa', 'aaaa', 'aaaa', 'aaab'],
    ['aaaa', 'aaaa', 'aaaa'],
  ]);
  for (let at = 6; at < 10; at += 1) {
    await insertWithTail(db, `crowd ${at}`, 'aaaa', at / 100);
    await stow(deps, never);
  }
  await insertWithTail(db, 'latecomer', 'aaac', 1);
  await stow(deps, never);
  expect(await tailsByAggregate(db)).toEqual([
    ['aaaa', 'aaaa', 'aaaa', 'aaab', 'aaac'],
    ['aaaa', 'aaaa', 'aaaa'],
    ['aaaa', 'aaaa', 'aaaa'],
  ]);
  const waiting = await db.kysely.selectFrom('uploads').select('root').where('state', '=', 'waiting').execute();
  expect(waiting.map(({ root }) => root.slice(-4))).toEqual(['aaaa']);
});

test('what was counted by one process and placed by another is counted once', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  const [ours, theirs] = [new DirectoryCounts(3), new DirectoryCounts(3)];
  for (let at = 0; at < 7; at += 1) {
    await insertWithTail(db, `turn ${at}`, at === 1 ? 'aaab' : 'aaaa', at / 100);
    await stow({ ...deps, directories: at % 2 === 0 ? ours : theirs }, never);
  }
  expect(await tailsByAggregate(db)).toEqual([
    ['aaaa', 'aaab', 'aaaa', 'aaaa'],
    ['aaaa', 'aaaa', 'aaaa'],
  ]);
});

test('a directory at the limit, with what a page and a top-up may add, is a block that providers read', () => {
  const cid = CID.createV1(0x55, createDigest(0x13, new Uint8Array(64)));
  const link = { name: 'b'.repeat(MAX_ROOT_CHARS), cid, tsize: Number.MAX_SAFE_INTEGER };
  const { bytes } = directoryNode(Array.from({ length: MAX_DIRECTORY_ENTRIES + 500 + 10_000 }, () => link));
  expect(bytes.length).toBeLessThan(8 * 1024 * 1024);
});
