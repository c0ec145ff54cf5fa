import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { sql, type Kysely, type Transaction } from 'kysely';
import { expect, test } from 'vitest';
import { receiveCar } from '../../../src/aggregate/receive/receive.ts';
import { sweepOrphans } from '../../../src/aggregate/keep/sweep-orphans.ts';
import { systemClock } from '../../../src/clock.ts';
import type { DB } from '../../../src/db/tables.ts';
import type { LocalStore } from '../../../src/storage/local-store.ts';
import { apiFixture, countRows, noRows, type ApiFixture } from '../../support/api-fixture.ts';
import { asV0, car, inChunks, pbNode, rawBlock, sampleUpload, sections } from '../../support/car-builder.ts';
import { gather } from '../../support/gather.ts';
import { filesBelow } from '../../support/temporary-folder.ts';
import { send, storedRun } from './receive-fixture.ts';

const MIB = 1024 * 1024;

async function expectNothing(fixture: ApiFixture): Promise<void> {
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
  expect(fixture.jobs.sent).toEqual([]);
}

test('a complete CAR is stored as its sections, waits, and wakes stowing', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('complete', 5);
  const received = await send(fixture, upload.car);
  const root = upload.root.toString();
  expect(received).toMatchObject({ cid: root, root, complete: true });
  expect(await storedRun(fixture, root)).toEqual(upload.run);
  const row = await fixture.kysely.selectFrom('uploads').selectAll().executeTakeFirstOrThrow();
  const dagBytes = upload.blocks.reduce((sum, block) => sum + block.bytes.length, 0);
  expect(row).toMatchObject({
    root,
    state: 'waiting',
    run_bytes: BigInt(upload.run.length),
    dag_bytes: BigInt(dagBytes),
    block_count: 6n,
    missing_count: null,
  });
  const events = await fixture.kysely.selectFrom('events').selectAll().execute();
  expect(events).toMatchObject([{ upload_id: row.id, from_state: null, to_state: 'waiting' }]);
  expect(fixture.jobs.sent).toEqual([{ queue: 'stow', data: {} }]);
});

test('sections are canonical: repeated blocks go, long varints become short, order stays', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('canonical');
  const [top, first] = blocks;
  if (top === undefined || first === undefined) throw new Error('the sample has blocks');
  const length = first.cid.bytes.length + first.bytes.length;
  const long = Buffer.concat([
    Buffer.from([(length % 128) + 128, Math.floor(length / 128) + 128, 0]),
    first.cid.bytes,
    first.bytes,
  ]);
  const body = Buffer.concat([car([root], [...blocks.slice(2), top, top]), long, sections([first, top])]);
  await send(fixture, body);
  expect(await storedRun(fixture, root.toString())).toEqual(sections([...blocks.slice(2), top, first]));
});

test('the same root again is the same upload: the owner is added, the bytes are dropped', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('again');
  const first = await send(fixture, upload.car);
  const files = await filesBelow(fixture.folder);
  const second = await send(fixture, upload.car, { owner: 'other' });
  expect(second.uploadId).toBe(first.uploadId);
  expect(await filesBelow(fixture.folder)).toEqual(files);
  expect(await countRows(fixture)).toEqual({ uploads: 1, upload_owners: 2, owners: 2, parts: 1, events: 1 });
  await send(fixture, upload.car, { owner: 'other' });
  expect(await countRows(fixture)).toEqual({ uploads: 1, upload_owners: 2, owners: 2, parts: 1, events: 1 });
});

test('a CIDv0 root and its CIDv1 are one upload, and the answer names the root as it was sent', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('v0');
  const [top, ...leaves] = blocks;
  if (top === undefined) throw new Error('the sample has blocks');
  const old = asV0(top);
  const first = await send(fixture, car([old.cid], [old, ...leaves]));
  expect(first).toMatchObject({ cid: old.cid.toString(), root: root.toString(), complete: true });
  const second = await send(fixture, car([root], blocks));
  expect(second).toMatchObject({ uploadId: first.uploadId, cid: root.toString() });
});

test('links may name a block by CIDv0 where the CAR has it by CIDv1', async () => {
  await using fixture = await apiFixture();
  const inner = pbNode([rawBlock('in the inner')]);
  const top = pbNode([inner.cid.toV0()]);
  expect(await send(fixture, car([top.cid], [top, inner, rawBlock('in the inner')]))).toMatchObject({ complete: true });
});

test('many at once with one root make one upload with one part', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('race');
  const owners = ['a', 'b', 'c', 'd', 'a', 'b'];
  const all = await Promise.all(owners.map((owner) => send(fixture, upload.car, { owner })));
  expect(new Set(all.map(({ uploadId }) => uploadId)).size).toBe(1);
  expect(await countRows(fixture)).toEqual({ uploads: 1, upload_owners: 4, owners: 4, parts: 1, events: 1 });
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
  expect(fixture.jobs.sent).toHaveLength(1);
  expect(await storedRun(fixture, upload.root.toString())).toEqual(upload.run);
});

test('an incomplete CAR is kept as a part, and a complete one makes the upload wait with its own bytes', async () => {
  await using fixture = await apiFixture();
  const { root, blocks, run } = sampleUpload('parts', 4);
  const [top, first, second, third, fourth] = blocks.map(({ cid }) => cid.toString());
  expect([top, first, second, third, fourth]).not.toContain(undefined);
  const received = await send(fixture, car([root], blocks.slice(0, 2)));
  expect(received.complete).toBe(false);
  const before = await fixture.kysely.selectFrom('uploads').selectAll().executeTakeFirstOrThrow();
  expect(before).toMatchObject({ state: 'incomplete', missing_count: 3n, missing_first: second, run_bytes: null });
  expect(await fixture.kysely.selectFrom('parts').select(['run_seq', 'block_count']).execute()).toEqual([
    { run_seq: null, block_count: 2n },
  ]);
  expect(fixture.jobs.sent).toEqual([]);

  await send(fixture, car([root], blocks));
  const after = await fixture.kysely.selectFrom('uploads').selectAll().executeTakeFirstOrThrow();
  expect(after).toMatchObject({ id: before.id, state: 'waiting', missing_count: null, missing_first: null });
  expect(await storedRun(fixture, root.toString())).toEqual(run);
  const events = await fixture.kysely
    .selectFrom('events')
    .select(['from_state', 'to_state'])
    .orderBy('position')
    .execute();
  expect(events).toEqual([
    { from_state: null, to_state: 'incomplete' },
    { from_state: 'incomplete', to_state: 'waiting' },
  ]);
  expect(fixture.jobs.sent).toHaveLength(1);
});

test('an incomplete CAR sent again takes no more room, another part does, and a complete CAR needs none of them', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('retry', 4);
  const [top, first, second] = blocks;
  if (top === undefined || first === undefined || second === undefined) throw new Error('the sample has blocks');
  for (let turn = 0; turn < 3; turn += 1) await send(fixture, car([root], [top, first]));
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
  const twin = rawBlock(Buffer.from(first.bytes).fill('x'));
  await send(fixture, car([root], [top, twin]));
  expect(await filesBelow(fixture.folder)).toHaveLength(2);
  expect((await countRows(fixture))['parts']).toBe(2);
  await send(fixture, car([root], blocks));
  await send(fixture, car([root], [top, second]));
  expect((await countRows(fixture))['parts']).toBe(1);
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
  expect(await fixture.kysely.selectFrom('uploads').select('state').execute()).toEqual([{ state: 'waiting' }]);
});

test('a failed upload begins again with the next CAR', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('failed');
  await send(fixture, car([root], blocks.slice(0, 1)));
  await fixture.kysely.updateTable('uploads').set({ state: 'failed', failure: 'no more parts came' }).execute();
  await send(fixture, car([root], blocks.slice(0, 2)));
  expect(await fixture.kysely.selectFrom('uploads').select(['state', 'failure']).execute()).toEqual([
    { state: 'incomplete', failure: null },
  ]);
  await send(fixture, car([root], blocks));
  expect(await fixture.kysely.selectFrom('uploads').select('state').execute()).toEqual([{ state: 'waiting' }]);
});

test('an owner that ended its ownership takes it up again by sending', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('owner');
  await send(fixture, upload.car);
  await fixture.kysely.updateTable('upload_owners').set({ ended_at: new Date() }).execute();
  await send(fixture, upload.car);
  expect(await fixture.kysely.selectFrom('upload_owners').select('ended_at').execute()).toEqual([{ ended_at: null }]);
});

test('a body that breaks off leaves nothing', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('broken', 300);
  async function* broken() {
    yield upload.car.subarray(0, upload.car.length - 100);
    throw new Error('aborted');
  }
  await expect(send(fixture, upload.car, { body: broken() })).rejects.toThrow('aborted');
  await expectNothing(fixture);
});

test('a caller who is gone before the end leaves nothing', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('gone', 300);
  const gone = new AbortController();
  async function* body() {
    yield upload.car;
    gone.abort(new Error('the client went away'));
  }
  await expect(send(fixture, upload.car, { body: body(), signal: gone.signal })).rejects.toThrow('went away');
  await expectNothing(fixture);
});

test('a transaction that fails leaves nothing', async () => {
  await using fixture = await apiFixture();
  fixture.jobs.send = () => Promise.reject(new Error('no jobs today'));
  await expect(send(fixture, sampleUpload('no jobs').car)).rejects.toThrow('no jobs today');
  await expectNothing(fixture);
});

test('a commit that PostgreSQL refuses leaves nothing', async () => {
  await using fixture = await apiFixture();
  await sql`create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'refused'; end $$`.execute(fixture.kysely);
  await sql`create constraint trigger refuse after insert on uploads deferrable initially deferred
    for each row execute function refuse()`.execute(fixture.kysely);
  await expect(send(fixture, sampleUpload('refused').car)).rejects.toThrow('refused');
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
});

/** A connection that is lost right after the commit arrived: the caller cannot tell. */
function losingCommits(kysely: Kysely<DB>): Kysely<DB> {
  return new Proxy(kysely, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (key !== 'transaction') return typeof value === 'function' ? value.bind(target) : value;
      return () => ({
        execute: async (work: (trx: Transaction<DB>) => Promise<unknown>) => {
          await target.transaction().execute(work);
          throw new Error('Connection terminated unexpectedly');
        },
      });
    },
  });
}

test('when nobody knows whether the commit happened, the object stays for the sweep', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('unknown');
  const input = { body: inChunks(upload.car, 1000), owner: 'service', signal: new AbortController().signal };
  const deps = { ...fixture.receive, kysely: losingCommits(fixture.kysely) };
  await expect(receiveCar(deps, input)).rejects.toThrow('Connection terminated');
  expect(await storedRun(fixture, upload.root.toString())).toEqual(upload.run);
});

test('the limit is told by code, with what it is', async () => {
  const small = sampleUpload('limits', 3);
  const maxUploadBytes = small.car.length;
  await using fixture = await apiFixture({ limits: { maxUploadBytes: BigInt(maxUploadBytes) } });
  const fault = { code: 'UPLOAD_TOO_LARGE', details: { maxUploadBytes } };
  await expect(send(fixture, sampleUpload('limits', 8).car)).rejects.toMatchObject(fault);
  await expect(send(fixture, small.car, { declaredBytes: maxUploadBytes + 1 })).rejects.toMatchObject(fault);
  await expectNothing(fixture);
  await send(fixture, small.car, { declaredBytes: maxUploadBytes });
});

test('an upload may hold as many blocks as the limit, and not one more', async () => {
  await using fixture = await apiFixture({ limits: { maxBlocks: 4 } });
  await expect(send(fixture, sampleUpload('blocks', 4).car)).rejects.toMatchObject({ code: 'TOO_MANY_BLOCKS' });
  await expectNothing(fixture);
  await send(fixture, sampleUpload('blocks', 3).car);
});

/** A store on which less and less is free with each question. */
function shrinking(store: LocalStore, freeBytes: number[]): LocalStore {
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'freeBytes') return async () => freeBytes.shift() ?? 0;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a store without room is told before the first byte, and while writing', async () => {
  const leaves = Array.from({ length: 40 }, (_, at) => rawBlock(Buffer.alloc(MIB, at)));
  const top = pbNode(leaves);
  const big = car([top.cid], [top, ...leaves]);
  const limits = { minFreeBytes: 1000n, maxUploadBytes: 100n * BigInt(MIB) };
  {
    await using fixture = await apiFixture({ limits, store: (store) => shrinking(store, [1500]) });
    await expect(send(fixture, big, { declaredBytes: 501 })).rejects.toMatchObject({
      code: 'STORE_FULL',
      retry: 'later',
    });
    await expectNothing(fixture);
  }
  await using fixture = await apiFixture({ limits, store: (store) => shrinking(store, [1500, 999]) });
  await expect(send(fixture, big, { body: inChunks(big, MIB) })).rejects.toMatchObject({ code: 'STORE_FULL' });
  await expectNothing(fixture);
});

test('objects that no row names are swept once they are old', async () => {
  await using fixture = await apiFixture();
  await send(fixture, sampleUpload('kept').car);
  for (const key of ['runs/orphan-1', 'runs/orphan-2', 'trees/1-bafy']) {
    const staged = await fixture.store.stage(key);
    await staged.write(Buffer.from('left'));
    await staged.commit();
  }
  const deps = { kysely: fixture.kysely, store: fixture.store, clock: systemClock };
  expect(await sweepOrphans(deps)).toBe(0);
  const hoursAgo = new Date(Date.now() - 2 * 3_600_000);
  const objects = join(fixture.folder, 'objects');
  for (const shard of await readdir(objects)) {
    for (const name of await readdir(join(objects, shard)))
      await utimes(join(objects, shard, name), hoursAgo, hoursAgo);
  }
  expect(await sweepOrphans(deps)).toBe(3);
  const keys = (await gather(fixture.store.list())).map(({ key }) => key);
  expect(keys).toEqual([expect.stringMatching(/^runs\/[0-9a-f-]{36}$/)]);
  expect(await sweepOrphans(deps)).toBe(0);
});
