import { expect, test } from 'vitest';
import { releaseAll } from '../../src/aggregate/keep/release/release.ts';
import { letGo } from '../../src/aggregate/keep/let-go.ts';
import { endOwnership } from '../../src/aggregate/keep/remove-upload.ts';
import { sweepOrphans } from '../../src/aggregate/keep/sweep-orphans.ts';
import { cutUpload } from '../../src/aggregate/place/cut.ts';
import { sealNow, stow } from '../../src/aggregate/place/stow.ts';
import { GroupCommit } from '../../src/aggregate/receive/commit-group.ts';
import { receiveCar } from '../../src/aggregate/receive/receive.ts';
import { failStale } from '../../src/aggregate/receive/fail-stale.ts';
import { hashChunks } from '../../src/aggregate/seal/hash-chunks.ts';
import { seal } from '../../src/aggregate/seal/seal.ts';
import type { Database } from '../../src/db/connect.ts';
import { silentLog } from '../../src/log/log.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import { brokenBytes } from '../checker/check-bytes.ts';
import { brokenObjects, localFiles } from '../checker/check-objects.ts';
import { car, pbNode, rawBlock, sampleUpload, type Block } from '../support/car-builder.ts';
import { testDatabase } from '../support/database.ts';
import { gather } from '../support/gather.ts';
import { seedDeal } from '../support/seed-rows.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { brokenRows, HOUR_MS, never, START, stowDeps, withClient } from './aggregate-fixture.ts';

const limits = { maxUploadBytes: 10n ** 7n, maxBlocks: 1_000, minFreeBytes: 0n };
const DAY_MS = 24 * HOUR_MS;
const REPLICAS = 5;
/** Steps of each of the processes: enough for all steps to meet each other. */
const STEPS = 60;
const PROCESSES = 4;

interface Upload {
  root: Block['cid'];
  blocks: readonly Block[];
  isLarge?: boolean;
}

/** A CAR of the same root with another run. */
function withStray(upload: Upload, nth: number): Upload {
  return { ...upload, blocks: [...upload.blocks, rawBlock(`stray ${nth}`)] };
}

function largeUpload(seed: string): Upload {
  const leaves = Array.from({ length: 110 }, (_, at) => rawBlock(Buffer.alloc(1_000 + at, `${seed} ${at} `)));
  const groups = [0, 55].map((from) => pbNode(leaves.slice(from, from + 55)));
  const root = pbNode(groups);
  return { root: root.cid, blocks: [root, ...groups, ...leaves], isLarge: true };
}

/** The same numbers each time (mulberry32). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

async function world(database: Database, folder: string) {
  const store = await openLocalStore(folder);
  let at = START.getTime();
  // Each look is a second later, so that ages pass.
  const clock = { now: () => new Date((at += 1_000)) };
  const change = { openAggregates: 2, maxAgeMs: 60_000, forceAgeMs: 120_000 };
  const deps = { ...(await stowDeps(database, clock, change)), store, random: Math.random };
  const { kysely } = database;
  const alone = { kysely, store, jobs: deps.jobs, clock, limits, log: silentLog, spillFolder: folder };
  // Small uploads share objects.
  const receive = { ...alone, groups: new GroupCommit(alone) };
  const later = { now: () => new Date(clock.now().getTime() + 31 * DAY_MS) };
  const release = { db: kysely, store, clock: later, log: silentLog, retentionMs: 30 * DAY_MS };
  const keep = { kysely, clock, log: silentLog };
  async function* body(bytes: Uint8Array) {
    yield bytes;
  }
  const ids = async (state: 'open' | 'sealing' | 'sealed') =>
    (await kysely.selectFrom('aggregates').select('id').where('state', '=', state).execute()).map(({ id }) => id);
  return {
    send: ({ root, blocks }: Upload) =>
      receiveCar(receive, { body: body(car([root], blocks)), owner: 'service', signal: never }),
    remove: ({ root }: Upload) => endOwnership(keep, { root: root.toString(), owner: 'service' }),
    stow: () => stow(deps, never),
    async cut() {
      const waiting = await kysely.selectFrom('uploads').select('id').where('state', '=', 'waiting').execute();
      for (const { id } of waiting) await cutUpload(deps, id, never);
    },
    async hash() {
      for (const id of await ids('open')) await hashChunks(deps, id, never);
    },
    async seal() {
      for (const id of await ids('sealing')) await seal(deps, id, never);
    },
    async sealNow(one: number) {
      const open = await ids('open');
      const id = open[one % Math.max(1, open.length)];
      if (id !== undefined) await sealNow(deps, id);
    },
    async release(one: number) {
      const sealed = await ids('sealed');
      const aggregateId = sealed[one % Math.max(1, sealed.length)];
      if (aggregateId !== undefined) await makeReleasable(database, aggregateId);
      await releaseAll(release, never);
    },
    async letGo() {
      await failStale({ ...keep, uploadTimeoutMs: DAY_MS });
      await letGo(keep);
    },
    store,
    clock,
  };
}

async function makeReleasable({ kysely }: Database, aggregateId: bigint): Promise<void> {
  for (let slot = 0; slot < REPLICAS; slot += 1) {
    const deal = { aggregateId, provider: `f0100${slot}`, slot, chainDealId: aggregateId * 10n + BigInt(slot) };
    await seedDeal(kysely, { ...deal, state: 'active', changedAt: START }).catch(() => undefined);
  }
}

type World = Awaited<ReturnType<typeof world>>;

/** What the caller may be told where two steps meet; anything else is a fault. */
function isToldToComeAgain(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'UNAVAILABLE';
}

async function step(own: World, uploads: readonly Upload[], draw: (below: number) => number): Promise<void> {
  const upload = uploads[draw(uploads.length)];
  if (upload === undefined) return;
  const steps = [
    () => own.send(upload),
    () => own.send(upload),
    () => own.send(upload.isLarge ? upload : withStray(upload, draw(3))),
    () => own.send({ ...upload, blocks: upload.blocks.slice(0, 2) }),
    () => own.remove(upload),
    () => own.stow(),
    () => own.stow(),
    () => own.cut(),
    () => own.hash(),
    () => own.seal(),
    () => own.sealNow(draw(5)),
    () => own.release(draw(50)),
    () => own.letGo(),
  ];
  await steps[draw(steps.length)]?.().catch((error: unknown) => {
    if (!isToldToComeAgain(error)) throw error;
  });
}

test('whatever processes do at the same time, rows, objects and pieces tell one story', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const own = await world(db, folder.path);
  const small = Array.from({ length: 12 }, (_, at) => sampleUpload(`small ${at}`, 20 + at * 3));
  const uploads = [...small, ...['large', 'larger', 'largest'].map(largeUpload)];
  await Promise.all(
    Array.from({ length: PROCESSES }, async (_, process) => {
      const draw = seeded(process + 1);
      for (let at = 0; at < STEPS; at += 1) await step(own, uploads, draw);
    }),
  );
  for (const upload of uploads) await own.send(upload);
  for (let rounds = 0; rounds < 6; rounds += 1) {
    await own.cut();
    await own.stow();
    for (let seconds = 0; seconds < 200; seconds += 1) own.clock.now();
    await own.seal();
  }
  const states = await db.kysely.selectFrom('uploads').select('state').distinct().execute();
  expect(states).toEqual([{ state: 'stowed' }]);
  await sweepOrphans({ kysely: db.kysely, store: own.store, clock: { now: () => new Date() } }, { graceMs: 0 });
  const seeds = /^(a deal was signed before|active, published and ended)/;
  expect((await brokenRows(db)).filter((rule) => !seeds.test(rule))).toEqual([]);
  const read = async (key: string) =>
    Buffer.concat(await gather(own.store.read(key, 0, (await own.store.size(key)) ?? 0)));
  const broken = await withClient(db, async (client) => [
    ...(await brokenObjects(client, localFiles(folder.path))),
    ...(await brokenBytes(client, read)),
  ]);
  expect(broken).toEqual([]);
}, 60_000);
