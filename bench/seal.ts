import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create as createDigest } from 'multiformats/hashes/digest';
import { sha256 } from 'multiformats/hashes/sha2';
import { batchTreeReserve } from '../src/aggregate/seal/batch-tree-reserve.ts';
import { hashChunks } from '../src/aggregate/seal/hash-chunks.ts';
import { seal } from '../src/aggregate/seal/seal.ts';
import { CAR_HEADER_BYTES } from '../src/aggregate/place/placement-rules.ts';
import { findSealed } from '../src/aggregate/aggregate-rows.ts';
import { sealNow, stow } from '../src/aggregate/place/stow.ts';
import { systemClock } from '../src/clock.ts';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { pieceCapacity } from '../src/filecoin/piece.ts';
import { formatBytes, parseBytes } from '../src/filecoin/units.ts';
import { silentLog } from '../src/log/log.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import { keyToFile } from '../src/storage/object-key.ts';
import type { ObjectStore } from '../src/storage/store.ts';
import { rounded } from './measure.ts';
import { describeLoop, watchLoop, type LoopSeen } from './watch-loop.ts';

const MIB = 1024 * 1024;
const OBJECT_KEY = 'runs/bench';
/** All of an aggregate's uploads together, whatever its size. */
const UPLOADS = 1_024;
const DAY_MS = 86_400_000;
const never = new AbortController().signal;

/** The store with a count of what is read from it. */
function counting(store: ObjectStore) {
  let bytesRead = 0;
  const counted: ObjectStore = {
    stage: (key) => store.stage(key),
    async *read(key, offset, length, options) {
      for await (const chunk of store.read(key, offset, length, options)) {
        bytesRead += chunk.length;
        yield chunk;
      }
    },
    size: (key) => store.size(key),
    remove: (key) => store.remove(key),
    list: () => store.list(),
    freeBytes: () => store.freeBytes(),
  };
  const takeBytes = () => {
    const taken = bytesRead;
    bytesRead = 0;
    return taken;
  };
  return { counted, takeBytes };
}

/** An object of zeros that takes no room on disk: sealing reads it as any other, and parses nothing. */
async function putSparse(folder: string, sizeBytes: number): Promise<void> {
  const { shard, name } = keyToFile(OBJECT_KEY);
  await mkdir(join(folder, 'objects', shard), { recursive: true });
  const file = await open(join(folder, 'objects', shard, name), 'w');
  await file.truncate(sizeBytes);
  await file.close();
}

function rootOf(index: number): string {
  const digest = createHash('sha256').update(`upload ${index}`).digest();
  return CID.createV1(raw.code, createDigest(sha256.code, digest)).toString();
}

/** Uploads `from` to `end`, exclusive, as receive leaves them: each a range of the one object. */
async function insertUploads(db: Kysely<DB>, from: number, end: number, runBytes: number): Promise<void> {
  const at = new Date();
  const indexes = Array.from({ length: end - from }, (_, offset) => from + offset);
  const uploads = indexes.map((index) => ({
    root: rootOf(index),
    state: 'waiting' as const,
    run_bytes: BigInt(runBytes),
    dag_bytes: BigInt(runBytes),
    block_count: 1n,
    created_at: at,
    changed_at: at,
  }));
  const rows = await db.insertInto('uploads').values(uploads).returning('id').execute();
  const parts = rows.map(({ id }, offset) => ({
    upload_id: id,
    object_key: OBJECT_KEY,
    object_offset: BigInt((from + offset) * runBytes),
    length_bytes: BigInt(runBytes),
    block_count: 1n,
    run_seq: 0,
    created_at: at,
  }));
  await db.insertInto('parts').values(parts).execute();
}

async function timed<T>(act: () => Promise<T>): Promise<{ value: T; seconds: number; loop: LoopSeen }> {
  await using watch = await watchLoop();
  const start = performance.now();
  const value = await act();
  const seconds = (performance.now() - start) / 1000;
  return { value, seconds, loop: await watch.read() };
}

/** The rules of mainnet for a piece of this size, but for ages: nothing here waits for them. */
function rulesFor(pieceBytes: bigint) {
  const minFillBytes = pieceCapacity(pieceBytes) / 2n + 1n;
  const forceAgeMs = DAY_MS * 2;
  return { pieceBytes, minPieceBytes: pieceBytes / 2n, minFillBytes, maxAgeMs: DAY_MS, forceAgeMs, openAggregates: 1 };
}

/**
 * Sealing of a full aggregate after its last upload, the code and the rows of the service: what it takes and what it
 * reads. Before that its chunks are hashed as it grows. `size` is the piece's, `32GiB` by default.
 */
export async function benchSeal(size = '32GiB'): Promise<Record<string, unknown>> {
  const pieceBytes = parseBytes(size);
  const room = Number(pieceCapacity(pieceBytes)) - CAR_HEADER_BYTES - batchTreeReserve(UPLOADS);
  const runBytes = Math.floor(room / UPLOADS);
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-seal-'));
  try {
    await chmod(folder, 0o755);
    await using server = await startEmbedded({ dataDir: folder, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url);
    const { kysely: db } = database;
    const { counted: store, takeBytes } = counting(await openLocalStore(join(folder, 'store')));
    await putSparse(join(folder, 'store'), runBytes * UPLOADS);
    const jobs = { send: () => Promise.resolve() };
    const deps = {
      db,
      store,
      jobs,
      clock: systemClock,
      log: silentLog,
      random: Math.random,
      rules: rulesFor(pieceBytes),
    };

    await insertUploads(db, 0, UPLOADS - 1, runBytes);
    await stow(deps, never);
    const { id } = await db.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
    const growing = await timed(() => hashChunks(deps, id, never));
    const hashedBytes = takeBytes();

    await insertUploads(db, UPLOADS - 1, UPLOADS, runBytes);
    const sealing = await timed(async () => {
      await stow(deps, never);
      await sealNow(deps, id);
      await seal(deps, id, never);
      return await findSealed(db, id);
    });
    const readBytes = takeBytes();
    if (sealing.value?.pieceBytes !== pieceBytes) throw new Error('the aggregate is not sealed to a full piece');

    const hashRate = hashedBytes / MIB / growing.seconds;
    console.log(
      `Sealing a piece of ${formatBytes(pieceBytes)} of ${UPLOADS} uploads after its last upload, ${process.arch}`,
    );
    console.log(`  hashed as it grew  ${formatBytes(hashedBytes)} at ${hashRate.toFixed(0)} MiB/s`);
    console.log(`  loop, hashing      ${describeLoop(growing.loop)}`);
    console.log(`  loop, sealing      ${describeLoop(sealing.loop)}`);
    console.log(`  sealing            ${sealing.seconds.toFixed(2)} s`);
    console.log(`  read for it        ${(readBytes / MIB).toFixed(1)} MiB`);
    return {
      bench: 'seal',
      ratios: { read_of_piece: rounded(readBytes / Number(pieceBytes)) },
      piece: size,
      seal_s: rounded(sealing.seconds),
      read_mib: rounded(readBytes / MIB),
      hash_mib_per_s: rounded(hashRate),
      loop_delay_ms: { hash: growing.loop, seal: sealing.loop },
      rss_mib: Math.round(process.memoryUsage.rss() / MIB),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
