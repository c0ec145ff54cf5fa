import fc from 'fast-check';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { failStale } from '../../../src/aggregate/receive/fail-stale.ts';
import { stow } from '../../../src/aggregate/place/stow.ts';
import { silentLog } from '../../../src/log/log.ts';
import { apiFixture, sealRules, type ApiFixture } from '../../support/api-fixture.ts';
import { asV0, car, cborNode, pbNode, rawBlock, sampleUpload, section } from '../../support/car-builder.ts';
import { filesBelow } from '../../support/temporary-folder.ts';
import { brokenRows } from '../aggregate-fixture.ts';
import { send, storedRun, uploadRow } from './receive-fixture.ts';
import { blocksOf, sectionsOf, splitByWalk, treeOf, type Tree } from './split-car.ts';

async function trackedRows(fixture: ApiFixture): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`
    select (select count(*) from part_blocks) + (select count(*) from wanted_blocks) as count`.execute(fixture.kysely);
  return Number(rows[0]?.count);
}

/** The run holds each block of the tree once, and the row says so. */
async function expectWhole(fixture: ApiFixture, tree: Tree): Promise<void> {
  const root = tree.block.cid.toString();
  const run = await storedRun(fixture, root);
  const blocks = blocksOf(tree);
  const expected = blocks.map((block) => section(block).toString('hex')).sort();
  expect(sectionsOf(run).sort()).toEqual(expected);
  expect(await uploadRow(fixture, root)).toMatchObject({
    state: 'waiting',
    run_bytes: BigInt(run.length),
    dag_bytes: BigInt(blocks.reduce((sum, { bytes }) => sum + bytes.length, 0)),
    block_count: BigInt(blocks.length),
    missing_count: null,
    missing_first: null,
  });
}

test('parts with repeated ancestors become one run with each block once, in the order of acceptance', async () => {
  await using fixture = await apiFixture();
  const tree = treeOf('walk', 5, 3, 7);
  const { root, parts, blocks } = splitByWalk(tree, 3_000);
  expect(parts.length).toBeGreaterThan(4);
  for (const [at, part] of parts.entries()) {
    expect(await send(fixture, part)).toMatchObject({ root: root.toString(), complete: at === parts.length - 1 });
  }
  await expectWhole(fixture, tree);
  const seen = new Set<string>();
  const inOrder = blocks.flat().filter(({ cid }) => !seen.has(`${cid}`) && seen.add(`${cid}`));
  expect((await storedRun(fixture, root.toString())).equals(Buffer.concat(inOrder.map(section)))).toBe(true);
  expect(fixture.jobs.sent).toEqual([{ queue: 'stow', data: {} }]);
  expect(await fixture.kysely.selectFrom('events').select(['from_state', 'to_state']).execute()).toEqual([
    { from_state: null, to_state: 'incomplete' },
    { from_state: 'incomplete', to_state: 'waiting' },
  ]);
});

test('three at once, again and again: complete exactly once, and no wake-up is lost', async () => {
  await using fixture = await apiFixture();
  for (let turn = 0; turn < 8; turn += 1) {
    const tree = treeOf(`race ${turn}`, 4, 2);
    const { parts } = splitByWalk(tree, 900);
    for (let at = 0; at < parts.length; at += 3) {
      await Promise.all(parts.slice(at, at + 3).map((part) => send(fixture, part)));
    }
    await expectWhole(fixture, tree);
    expect(fixture.jobs.sent).toHaveLength(turn + 1);
  }
  const ends = await fixture.kysely
    .selectFrom('events')
    .select('upload_id')
    .where('to_state', '=', 'waiting')
    .execute();
  expect(new Set(ends.map((row) => row.upload_id)).size).toBe(ends.length);
});

test('whatever the cut, the order and the repetitions: complete with the last block, not before', async () => {
  await using fixture = await apiFixture();
  let turn = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(1000), { maxLength: 12 }), { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      async (picks, atOnce) => {
        const tree = treeOf(`any ${(turn += 1)}`, 3, 2, 4);
        const all = blocksOf(tree);
        const top = tree.block;
        const given = picks.map((pick) => [top, ...pick.map((at) => all[at % all.length] ?? top)]);
        const held = new Set(given.flat());
        const rest = all.filter((block) => !held.has(block));
        const cars = given.map((blocks) => car([top.cid], blocks));
        if (atOnce) await Promise.all(cars.map((bytes) => send(fixture, bytes)));
        else for (const bytes of cars) await send(fixture, bytes);
        const before = await uploadRow(fixture, top.cid.toString());
        expect(before.state).toBe(rest.length === 0 ? 'waiting' : 'incomplete');
        expect(Number(before.missing_count ?? 0)).toBe(missingOf(tree, held));
        if (rest.length > 0)
          expect(await send(fixture, car([top.cid], [top, ...rest]))).toMatchObject({ complete: true });
        await expectWhole(fixture, tree);
      },
    ),
    { numRuns: 25 },
  );
});

/** Distinct blocks that held blocks below the root name and that are not held. */
function missingOf(tree: Tree, held: ReadonlySet<Tree['block']>): number {
  const names = new Set([...held].map(({ cid }) => cid.toString()));
  const missing = new Set<string>();
  const visit = ({ block, children }: Tree): void => {
    if (names.has(block.cid.toString())) children.forEach(visit);
    else missing.add(block.cid.toString());
  };
  visit(tree);
  return missing.size;
}

test('what is missing goes down part by part, and the first is named', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('counted', 4);
  const [top, first, second, third, fourth] = blocks;
  if (top === undefined || fourth === undefined) throw new Error('the sample has blocks');
  const seen: unknown[] = [];
  for (const part of [
    [top, third],
    [top, first],
    [top, first, second],
    [top, fourth],
  ]) {
    await send(
      fixture,
      car(
        [root],
        part.filter((block) => block !== undefined),
      ),
    );
    const { state, missing_count, missing_first } = await uploadRow(fixture, root.toString());
    seen.push([state, missing_count, missing_first]);
  }
  expect(seen).toEqual([
    ['incomplete', 3n, first?.cid.toString()],
    ['incomplete', 2n, second?.cid.toString()],
    ['incomplete', 1n, fourth.cid.toString()],
    ['waiting', null, null],
  ]);
});

test('blocks that came before anything named them count once their ancestors come', async () => {
  await using fixture = await apiFixture();
  const leaf = rawBlock('deep');
  const chain = [leaf];
  for (let level = 0; level < 50; level += 1) chain.push(cborNode([chain.at(-1)?.cid]));
  const top = cborNode(['top', chain.at(-1)?.cid]);
  await send(fixture, car([top.cid], [top, ...chain.slice(0, 25)]));
  expect(await uploadRow(fixture, top.cid.toString())).toMatchObject({ missing_count: 1n });
  await send(fixture, car([top.cid], [top, ...chain.slice(26)]));
  expect(await uploadRow(fixture, top.cid.toString())).toMatchObject({
    missing_count: 1n,
    missing_first: `${chain[25]?.cid}`,
  });
  const [gap] = chain.slice(25, 26);
  if (gap === undefined) throw new Error('the chain is longer');
  expect(await send(fixture, car([top.cid], [top, gap]))).toMatchObject({ complete: true });
});

test('a block under CIDv0 in one part and CIDv1 in another is one block', async () => {
  await using fixture = await apiFixture();
  const leaves = [rawBlock('v0 a'), rawBlock('v0 b')] as const;
  const inner = pbNode([leaves[0]]);
  const top = pbNode([inner, leaves[1]]);
  await send(fixture, car([top.cid], [top, asV0(inner), inner, leaves[0]]));
  expect(await send(fixture, car([top.cid], [asV0(top), inner, leaves[1]]))).toMatchObject({ complete: true });
  const run = await storedRun(fixture, top.cid.toString());
  expect(sectionsOf(run)).toEqual([top, asV0(inner), ...leaves].map((block) => section(block).toString('hex')));
});

test('a part that brings nothing new leaves nothing', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('nothing new', 4);
  await send(fixture, car([root], blocks.slice(0, 3)));
  const before = await uploadRow(fixture, root.toString());
  await send(fixture, car([root], blocks.slice(0, 2)));
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
  expect(await uploadRow(fixture, root.toString())).toEqual(before);
});

test('an upload in parts is stowed like any other', async () => {
  await using fixture = await apiFixture();
  const tree = treeOf('stowed', 4, 2);
  for (const part of splitByWalk(tree, 1_000).parts) await send(fixture, part);
  const { kysely: db, jobs, clock } = fixture.receive;
  await stow({ db, jobs, clock, rules: sealRules, log: silentLog }, new AbortController().signal);
  expect(await uploadRow(fixture, tree.block.cid.toString())).toMatchObject({ state: 'stowed' });
  expect(await brokenRows(fixture.database)).toEqual([]);
});

const HOUR_MS = 3_600_000;

function stale(fixture: ApiFixture, hoursLater: number) {
  const clock = { now: () => new Date(fixture.deps.clock.now().getTime() + hoursLater * HOUR_MS) };
  return failStale({ kysely: fixture.kysely, clock, log: silentLog, uploadTimeoutMs: 24 * HOUR_MS });
}

test('an upload without a new part for the time given fails with the missing block; the missing parts heal it', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('stale', 4);
  await send(fixture, car([root], blocks.slice(0, 3)));
  expect(await stale(fixture, 23)).toBe(0);
  expect(await stale(fixture, 25)).toBe(1);
  expect(await stale(fixture, 25)).toBe(0);
  const first = blocks[3]?.cid.toString();
  const failure = `no new part came for 1d; 2 blocks are missing, the first is ${first}`;
  const row = await uploadRow(fixture, root.toString());
  expect(row).toMatchObject({ state: 'failed', failure, missing_count: 2n, missing_first: first });
  const [top, , , ...rest] = blocks;
  if (top === undefined) throw new Error('the sample has blocks');
  expect(await send(fixture, car([root], [top, ...rest]))).toMatchObject({ complete: true });
  expect(await uploadRow(fixture, root.toString())).toMatchObject({ state: 'waiting', failure: null });
  expect((await storedRun(fixture, root.toString())).length).toBe(
    blocks.reduce((sum, block) => sum + section(block).length, 0),
  );
  expect(
    await fixture.kysely.selectFrom('events').select(['to_state', 'reason_code']).orderBy('position').execute(),
  ).toEqual([
    { to_state: 'incomplete', reason_code: null },
    { to_state: 'failed', reason_code: 'UPLOAD_TIMEOUT' },
    { to_state: 'waiting', reason_code: null },
  ]);
  expect(await brokenRows(fixture.database)).toEqual([]);
});

test('a complete CAR heals a failed upload, and its parts go', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('healed', 4);
  await send(fixture, car([upload.root], upload.blocks.slice(0, 3)));
  await stale(fixture, 25);
  expect(await send(fixture, upload.car)).toMatchObject({ complete: true });
  expect((await storedRun(fixture, upload.root.toString())).equals(upload.run)).toBe(true);
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
});

test('the sweep deletes what was written down of complete uploads, and nothing of incomplete ones', async () => {
  await using fixture = await apiFixture();
  const [done, open] = [sampleUpload('done'), sampleUpload('open')];
  for (const { root, blocks } of [done, open]) await send(fixture, car([root], blocks.slice(0, 2)));
  const kept = await trackedRows(fixture);
  await send(fixture, done.car);
  await stale(fixture, 0);
  expect(await trackedRows(fixture)).toBe(kept / 2);
  await send(fixture, open.car);
  await stale(fixture, 0);
  expect(await trackedRows(fixture)).toBe(0);
});

test('a chain of ten thousand levels, every other level in another part', async () => {
  await using fixture = await apiFixture({ limits: { maxBlocks: 20_000 } });
  const chain = [rawBlock('bottom')];
  for (let level = 0; level < 10_000; level += 1) chain.push(cborNode([chain.at(-1)?.cid]));
  const top = chain.at(-1) ?? rawBlock('none');
  const odd = chain.filter((_, at) => at % 2 === 1);
  const even = chain.filter((_, at) => at % 2 === 0);
  await send(fixture, car([top.cid], [top, ...odd]));
  expect(await uploadRow(fixture, top.cid.toString())).toMatchObject({ missing_count: 1n });
  expect(await send(fixture, car([top.cid], [top, ...even]))).toMatchObject({ complete: true });
  expect(await uploadRow(fixture, top.cid.toString())).toMatchObject({ state: 'waiting', block_count: 10_001n });
});

test('a part that repeats blocks at too many places is refused, and leaves nothing', async () => {
  await using fixture = await apiFixture({ limits: { maxBlocks: 30_000 } });
  const leaves = Array.from({ length: 20_010 }, (_, at) => rawBlock(`scrap ${at}`));
  const top = cborNode([...leaves, rawBlock('missing')].map(({ cid }) => cid));
  await send(fixture, car([top.cid], [top, ...leaves.filter((_, at) => at % 2 === 0)]));
  const before = await uploadRow(fixture, top.cid.toString());
  const scattered = send(fixture, car([top.cid], [top, ...leaves]));
  await expect(scattered).rejects.toMatchObject({ code: 'PART_TOO_SCATTERED' });
  expect(await uploadRow(fixture, top.cid.toString())).toEqual(before);
  expect(await filesBelow(fixture.folder)).toHaveLength(1);
});
