import fc from 'fast-check';
import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import { DagTracker } from '../../../src/aggregate/receive/dag-tracker.ts';
import { followLinks } from '../../../src/aggregate/receive/follow-links.ts';
import { addPartBlocks } from '../../../src/aggregate/receive/part-store.ts';
import { insertUpload } from '../../../src/aggregate/receive/upload-store.ts';
import type { DB } from '../../../src/db/tables.ts';
import { apiFixture, type ApiFixture } from '../../support/api-fixture.ts';
import { asV0, car, cborNode, pbNode, rawBlock, section, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { filesBelow } from '../../support/temporary-folder.ts';
import { brokenRows } from '../aggregate-fixture.ts';
import { send, storedRun, uploadRow } from './receive-fixture.ts';
import { blocksOf, sectionsOf, splitByWalk, treeOf } from './split-car.ts';

/** So few CIDs are held that every upload of these tests goes to a file. */
const spilling = { limits: { heldCids: 3, maxBlocks: 100_000 } };

/** The run as sections in hex. */
async function runOf(fixture: ApiFixture, root: string): Promise<string[]> {
  return sectionsOf(await storedRun(fixture, root));
}

function hexOf(blocks: readonly Block[]): string[] {
  return blocks.map((block) => section(block).toString('hex'));
}

test('a complete CAR that repeats blocks is stored, and its run has each once in the order of the CAR', async () => {
  await using fixture = await apiFixture(spilling);
  const tree = treeOf('repeats', 4, 3);
  const all = blocksOf(tree);
  const root = tree.block.cid;
  const repeated = [...all.slice(0, 30), ...all.slice(10, 20), ...all.slice(25), ...all];
  expect(await send(fixture, car([root], repeated))).toMatchObject({ complete: true });
  expect(await runOf(fixture, root.toString())).toEqual(hexOf(all));
  expect(await uploadRow(fixture, root.toString())).toMatchObject({
    state: 'waiting',
    run_bytes: BigInt(all.reduce((sum, block) => sum + section(block).length, 0)),
    dag_bytes: BigInt(all.reduce((sum, { bytes }) => sum + bytes.length, 0)),
    block_count: BigInt(all.length),
  });
  expect(fixture.jobs.sent).toEqual([{ queue: 'stow', data: {} }]);
  expect(await brokenRows(fixture.database)).toEqual([]);
});

test('parts that go to a file become one run, and a complete CAR in between makes the rest useless', async () => {
  await using fixture = await apiFixture(spilling);
  for (const [nth, withWhole] of [false, true].entries()) {
    const tree = treeOf(`parted ${nth}`, 5, 3, 7);
    const { root, parts } = splitByWalk(tree, 3_000);
    const all = blocksOf(tree);
    for (const part of parts.slice(0, -1)) expect(await send(fixture, part)).toMatchObject({ complete: false });
    const last = withWhole ? car([root], all) : (parts.at(-1) ?? Buffer.alloc(0));
    expect(await send(fixture, last)).toMatchObject({ complete: true });
    expect((await runOf(fixture, root.toString())).sort()).toEqual(hexOf(all).sort());
  }
  expect(await brokenRows(fixture.database)).toEqual([]);
});

test('links of blocks that the root does not reach keep nothing from being complete, at once and in a part', async () => {
  await using fixture = await apiFixture(spilling);
  const leaves = Array.from({ length: 6 }, (_, at) => rawBlock(`reached ${at}`));
  const top = pbNode(leaves);
  const apart = cborNode([rawBlock('nowhere').cid]);
  expect(await send(fixture, car([top.cid], [top, apart, ...leaves]))).toMatchObject({ complete: true });
  const root = top.cid.toString();
  expect(await uploadRow(fixture, root)).toMatchObject({ state: 'waiting', missing_first: null, block_count: 8n });
  expect(await runOf(fixture, root)).toEqual(hexOf([top, apart, ...leaves]));
  const events = await fixture.kysely.selectFrom('events').select(['from_state', 'to_state']).execute();
  expect(events).toEqual([{ from_state: null, to_state: 'waiting' }]);
  expect(await brokenRows(fixture.database)).toEqual([]);
});

test('what is wrong is told as ever, and leaves nothing', async () => {
  await using fixture = await apiFixture(spilling);
  const tree = treeOf('wrong', 4, 3);
  const [top, ...rest] = blocksOf(tree);
  if (top === undefined) throw new Error('a tree has a top');
  await expect(send(fixture, car([top.cid], rest))).rejects.toMatchObject({ code: 'ROOT_NOT_IN_CAR' });
  const damaged = { cid: rawBlock('sound').cid, bytes: Buffer.from('damaged') };
  await expect(send(fixture, car([top.cid], [top, ...rest, damaged]))).rejects.toMatchObject({
    code: 'HASH_MISMATCH',
    details: { block: damaged.cid.toString() },
  });
  const odd = { ...rest[3], cid: rest[3]?.cid ?? top.cid, bytes: Buffer.from('not the block') };
  await expect(send(fixture, car([top.cid], [top, ...rest, odd]))).rejects.toMatchObject({ code: 'HASH_MISMATCH' });
  expect(await filesBelow(fixture.folder)).toEqual([]);
  expect(await fixture.kysely.selectFrom('uploads').selectAll().execute()).toEqual([]);
});

test('a root as v0 and a block under both versions', async () => {
  await using fixture = await apiFixture(spilling);
  const leaves = Array.from({ length: 6 }, (_, at) => rawBlock(`v0 ${at}`));
  const node = pbNode(leaves);
  const top = asV0(pbNode([asV0(node)]));
  const received = await send(fixture, car([top.cid], [top, node, ...leaves, asV0(node)]));
  expect(received).toMatchObject({ complete: true, cid: top.cid.toString() });
  expect(await runOf(fixture, received.root)).toEqual(hexOf([top, node, ...leaves]));
});

/** Distinct blocks that blocks below the root link to and that are not held; the first of them level by level. */
function missingOf(root: Block, held: readonly Block[], linksOf: Map<string, Block[]>) {
  const names = new Set(held.map(({ cid }) => cid.toString()));
  const found = new Set([root.cid.toString()]);
  for (const name of found) if (names.has(name)) for (const { cid } of linksOf.get(name) ?? []) found.add(`${cid}`);
  const missing = [...found].filter((name) => !names.has(name));
  return missing[0] === undefined ? undefined : { count: missing.length, first: missing[0] };
}

async function addPart(trx: Kysely<DB>, id: bigint, blocks: readonly Block[]): Promise<void> {
  const dag = new DagTracker(10_000);
  for (const { cid, bytes } of blocks) dag.add(cid, bytes, bytes.length);
  await addPartBlocks(trx, id, { objectKey: 'runs/x', offset: 0, sections: dag.sections() });
}

test('links followed in steps of any size come to the same as a walk', async () => {
  await using db = await testDatabase();
  let turn = 0;
  const parts = fc.array(fc.array(fc.nat(1_000), { maxLength: 40 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(parts, fc.integer({ min: 1, max: 30 }), async (picks, atOnce) => {
      const tree = treeOf(`steps ${(turn += 1)}`, 3, 3, 4);
      const all = blocksOf(tree);
      const links = new Map<string, Block[]>();
      const visit = ({ block, children }: typeof tree): void => {
        links.set(
          block.cid.toString(),
          children.map((child) => child.block),
        );
        children.forEach(visit);
      };
      visit(tree);
      const root = tree.block.cid.toString();
      const missing = { count: 1, first: root };
      const facts = { runBytes: 0, dagBytes: 0, blockCount: 0, missing };
      const held: Block[] = [];
      await db.kysely.transaction().execute(async (trx) => {
        const id = await insertUpload(trx, root, facts, new Date());
        if (id === undefined) throw new Error('this root is new');
        for (const pick of picks) {
          const part = [tree.block, ...pick.map((at) => all[at % all.length] ?? tree.block)];
          held.push(...part);
          await addPart(trx, id, part);
          const found = await followLinks(trx, { id, root }, { atOnce });
          expect(found?.count).toBe(missingOf(tree.block, held, links)?.count);
          if (held.length === part.length) expect(found).toEqual(missingOf(tree.block, held, links));
        }
        const { rows } = await sql<{ cid: Buffer }>`
          select cid from part_blocks where upload_id = ${id} and reached`.execute(trx);
        expect(rows.length).toBe(reachedOf(tree.block, held, links));
      });
    }),
    { numRuns: 40 },
  );
});

test('links through more levels than are followed are refused', async () => {
  await using db = await testDatabase();
  const chain = [rawBlock('bottom')];
  for (let level = 0; level < 12; level += 1) chain.push(cborNode([chain.at(-1)?.cid]));
  const top = chain.at(-1) ?? rawBlock('none');
  const root = top.cid.toString();
  const facts = { runBytes: 0, dagBytes: 0, blockCount: 0, missing: { count: 1, first: root } };
  await db.kysely.transaction().execute(async (trx) => {
    const id = (await insertUpload(trx, root, facts, new Date())) ?? 0n;
    await addPart(trx, id, chain.toReversed());
    await sql`savepoint before`.execute(trx);
    await expect(followLinks(trx, { id, root }, { atOnce: 2, maxSteps: 11 })).rejects.toMatchObject({
      code: 'DAG_TOO_DEEP',
    });
    await sql`rollback to savepoint before`.execute(trx);
    expect(await followLinks(trx, { id, root }, { atOnce: 2, maxSteps: 13 })).toBeUndefined();
  });
});

/** Held blocks that links lead to from the root over held blocks. */
function reachedOf(root: Block, held: readonly Block[], linksOf: Map<string, Block[]>): number {
  const names = new Set(held.map(({ cid }) => cid.toString()));
  const found = new Set([root.cid.toString()]);
  for (const name of found) if (names.has(name)) for (const { cid } of linksOf.get(name) ?? []) found.add(`${cid}`);
  return [...found].filter((name) => names.has(name)).length;
}
