import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { BlockPool } from '../../../src/aggregate/blocks/block-pool.ts';
import { findStoredByRoot } from '../../../src/aggregate/blocks/stored-upload.ts';
import { walkDag } from '../../../src/aggregate/blocks/walk-dag.ts';
import { listPlacedRuns } from '../../../src/aggregate/bytes/placed-runs.ts';
import { DELETE_BATCH_ROWS } from '../../../src/aggregate/delete-of-upload.ts';
import { listNeededKeys } from '../../../src/aggregate/keep/named-objects.ts';
import { releaseAll } from '../../../src/aggregate/keep/release/release.ts';
import { readStoredProof } from '../../../src/aggregate/keep/release/stored-proofs.ts';
import { cutUpload } from '../../../src/aggregate/place/cut.ts';
import { receiveCar } from '../../../src/aggregate/receive/receive.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { verifyUpload } from '../../../src/client/verify.ts';
import type { Database } from '../../../src/db/connect.ts';
import { proofToJson, type InclusionProof } from '../../../src/filecoin/inclusion-proof.ts';
import { silentLog } from '../../../src/log/log.ts';
import { createStatusReader } from '../../../src/deals/status/status-reader.ts';
import { openLocalStore, type LocalStore } from '../../../src/storage/local-store.ts';
import { car, pbNode, rawBlock, sections, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { seedDeal } from '../../support/seed-rows.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows, HOUR_MS, insertUpload, never, putObject, rules, START, stowDeps } from '../aggregate-fixture.ts';
import { refuseLargeDeletes } from '../delete-guard.ts';
import { countCuts, placeCut } from '../place/placed-cuts.ts';

const MONTH_MS = 30 * 24 * HOUR_MS;
const REPLICAS = 5;

/** Nodes after their leaves: what the parts begin with comes late in the CAR. */
function wideUpload(): { root: Block; blocks: Block[] } {
  const leaves = Array.from({ length: 180 }, (_, at) => rawBlock(Buffer.alloc(900 + at, `leaf ${at} `)));
  const groups = [0, 60, 120].map((from) => leaves.slice(from, from + 60));
  const nodes = groups.map((group) => pbNode(group));
  const root = pbNode(nodes);
  return { root, blocks: [...groups.flatMap((group, at) => [...group, ...nodes.slice(at, at + 1)]), root] };
}

/** An upload in four cuts, each sealed in an aggregate of its own. */
async function world(database: Database, folder: string) {
  const store = await openLocalStore(folder);
  const deps = { ...(await stowDeps(database)), store };
  const { root, blocks } = wideUpload();
  const run = sections(blocks);
  await putObject(store, 'runs/wide', run);
  const part = { key: 'runs/wide', offset: 0, length: run.length, blocks: blocks.length, runSeq: 0 };
  const id = await insertUpload(database.kysely, { root: root.cid.toString(), blocks, parts: [part] });
  await cutUpload(deps, id, never);
  const aggregates: bigint[] = [];
  for (let cut = 0; cut < (await countCuts(database.kysely, id)); cut += 1) {
    const aggregate = await placeCut(database.kysely, rules, id, cut);
    await sealNow(deps, aggregate);
    await seal(deps, aggregate, never);
    aggregates.push(aggregate);
  }
  const clock = { now: () => new Date(START.getTime() + 2 * MONTH_MS) };
  const release = { db: database.kysely, store, clock, log: silentLog, retentionMs: MONTH_MS };
  return { id, root, blocks, aggregates, release, store, stowing: deps };
}

async function makeReleasable({ kysely }: Database, aggregateId: bigint): Promise<void> {
  for (let slot = 0; slot < REPLICAS; slot += 1) {
    const deal = { aggregateId, provider: `f0100${slot}`, slot, chainDealId: aggregateId * 10n + BigInt(slot) };
    await seedDeal(kysely, { ...deal, state: 'active', changedAt: START });
  }
}

async function sizes({ kysely }: Database) {
  const parts = await kysely.selectFrom('parts').select('id').execute();
  const extents = await kysely.selectFrom('cut_extents').select('cut').distinct().orderBy('cut').execute();
  return { parts: parts.length, cutsWithBytes: extents.map(({ cut }) => cut) };
}

test('a cut upload keeps its parts until its last aggregate is released, and verifies from its CAR after that', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { root, blocks, aggregates, release } = await world(db, folder.path);
  expect(aggregates).toHaveLength(4);
  for (const [at, aggregate] of aggregates.entries()) {
    await makeReleasable(db, aggregate);
    expect(await releaseAll(release, never)).toBe(1);
    const left = [0, 1, 2, 3].slice(at + 1);
    expect(await sizes(db)).toEqual({ parts: left.length > 0 ? 1 : 0, cutsWithBytes: left });
    expect((await listNeededKeys(db.kysely, ['runs/wide'])).size).toBe(left.length > 0 ? 1 : 0);
    const others = /^(a deal was signed before|active, published and ended)/;
    expect((await brokenRows(db)).filter((rule) => !others.test(rule))).toEqual([]);
  }
  const proofs: InclusionProof[] = [];
  for (const { outline, seq } of await listPlacedRuns(db.kysely, root.cid.toString(), { limit: 10 })) {
    proofs.push({ ...(await readStoredProof(release, outline.id, seq)), deals: [] });
  }
  const byName = new Map(blocks.map((block) => [block.cid.toString(), block]));
  for (const proof of proofs) {
    const own = sections((proof.blocks ?? []).map((cid) => byName.get(cid) ?? rawBlock('')));
    expect(checkProof(proofToJson(proof), own).pieceCid).toBe(proof.pieceCid);
  }
  for (const ordered of [blocks, blocks.toReversed()]) {
    const found = await verifyUpload({ car: new Blob([car([root.cid], ordered)]), proofs });
    expect(found).toMatchObject({ verified: true, uncoveredBlocks: 0 });
  }
});

test('a release deletes millions of ranges in statements that each have time enough', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { id, aggregates, release } = await world(db, folder.path);
  for (const aggregate of aggregates) await makeReleasable(db, aggregate);
  const many = DELETE_BATCH_ROWS + 10;
  await db.pool.query(
    `insert into cut_extents (upload_id, cut, seq, object_key, object_offset, length_bytes)
     select $1, 0, 1000 + n, 'runs/wide', n, 1 from generate_series(1, ${many}) n`,
    [id],
  );
  await db.pool.query(
    `insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, created_at)
     select $1, 'runs/other', n, 1, 1, now() from generate_series(1, ${many}) n`,
    [id],
  );
  await refuseLargeDeletes(db, ['cut_extents', 'parts']);
  expect(await releaseAll(release, never)).toBe(4);
  expect(await sizes(db)).toEqual({ parts: 0, cutsWithBytes: [] });
});

async function endDeals({ kysely }: Database, aggregateId: bigint): Promise<void> {
  await kysely.transaction().execute(async (trx) => {
    const over = { state: 'expired' as const, reason_code: 'EXPIRED', settled_at: START };
    const ended = trx.updateTable('deals').set(over).where('aggregate_id', '=', aggregateId).returning('id');
    for (const { id } of await ended.execute()) {
      const event = { deal_id: id, from_state: 'active', to_state: 'expired', at: START };
      await trx.insertInto('events').values(event).execute();
    }
  });
}

/** The parts by number, with the aggregates that hold them, and whether these places were given up. */
async function placesOf({ kysely }: Database) {
  const rows = await kysely.selectFrom('placements').select(['cut', 'topped_up']).orderBy('cut').execute();
  return rows.map(({ cut, topped_up: givenUp }) => ({ cut, givenUp }));
}

test('a cut upload that lost its bytes and a part of its deals is cut and placed anew when it is sent again', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { id, root, blocks, aggregates, release, store, stowing } = await world(db, folder.path);
  for (const aggregate of aggregates) await makeReleasable(db, aggregate);
  expect(await releaseAll(release, never)).toBe(4);
  const jobs = { send: async () => undefined };
  const limits = { maxUploadBytes: 1n << 30n, minFreeBytes: 0n, maxBlocks: 10_000 };
  const deps = { kysely: db.kysely, store, jobs, clock: release.clock, limits, log: silentLog };
  const send = (ordered: Block[]) =>
    receiveCar(deps, { body: Readable.from([car([root.cid], ordered)]), owner: 'somebody', signal: never });
  const statuses = createStatusReader(db);
  const isKept = async () => (await statuses.find(root.cid.toString()))?.pin.isKept;
  const stateOf = async () =>
    (await db.kysely.selectFrom('uploads').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;
  expect(await send(blocks)).toMatchObject({ complete: true });
  expect(await stateOf()).toBe('stowed');
  const [lost = 0n] = aggregates;
  expect(await isKept()).toBe(true);
  await endDeals(db, lost);
  expect(await isKept()).toBe(false);
  // In another order: its parts are others.
  expect(await send(blocks.toReversed())).toMatchObject({ complete: true });
  expect(await stateOf()).toBe('waiting');
  expect(await isKept()).toBe(true);
  const status = async () => (await statuses.find(root.cid.toString()))?.parts;
  expect(await status()).toBeUndefined();
  // Not before it is cut: no place is for a part of those that were given up.
  await stow(stowing, never);
  expect(await stateOf()).toBe('waiting');
  await cutUpload(stowing, id, never);
  await cutUpload(stowing, id, never);
  const total = await db.kysely.selectFrom('current_cuts').select('cut').orderBy('cut').execute();
  expect(total.map(({ cut }) => cut)).toEqual(total.map((_, at) => 4 + at));
  expect(await status()).toEqual({ placed: 0, total: total.length });
  await stow(stowing, never);
  expect(await stateOf()).toBe('stowed');
  expect(await status()).toEqual({ placed: total.length, total: total.length });
  expect(await placesOf(db)).toEqual([
    ...[0, 1, 2, 3].map((cut) => ({ cut, givenUp: true })),
    ...total.map(({ cut }) => ({ cut, givenUp: false })),
  ]);
  const anew = await db.kysely.selectFrom('aggregates').select('id').where('state', '<>', 'sealed').execute();
  for (const aggregate of anew) {
    await sealNow(stowing, aggregate.id);
    await seal(stowing, aggregate.id, never);
  }
  expect((await brokenRows(db)).filter((rule) => !/\bdeals?\b|a deal was|active, published/.test(rule))).toEqual([]);
  await everyBlockIsRead(db, { store, root, blocks });
  // Held by its new places, whatever becomes of the old ones; and once more when these are gone too.
  for (const { id: aggregate } of anew) await makeReleasable(db, aggregate);
  expect(await releaseAll(release, never)).toBe(anew.length);
  for (const aggregate of aggregates) await endDeals(db, aggregate);
  expect(await isKept()).toBe(true);
  await send(blocks);
  expect(await stateOf()).toBe('stowed');
  await endDeals(db, anew.at(-1)?.id ?? 0n);
  await send(blocks);
  expect(await stateOf()).toBe('waiting');
  await cutUpload(stowing, id, never);
  const third = await db.kysely.selectFrom('current_cuts').select('cut').execute();
  expect(Math.min(...third.map(({ cut }) => cut ?? 0))).toBe(4 + total.length);
});

/** As the gateway reads them. */
async function everyBlockIsRead(
  { kysely }: Database,
  { store, root, blocks }: { store: LocalStore; root: Block; blocks: Block[] },
): Promise<void> {
  const upload = await findStoredByRoot(kysely, root.cid.toString());
  if (upload === undefined) throw new Error('nothing of it is stored');
  await using open = await new BlockPool({ db: kysely, store }).open(upload, never);
  let bytes = 0;
  const walk = { path: [], start: root.cid, scope: 'all' as const, dups: false };
  for await (const chunk of walkDag(open, walk)) bytes += chunk.length;
  expect(bytes).toBe(sections(blocks).length);
}
