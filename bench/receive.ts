import { hash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create as createDigest } from 'multiformats/hashes/digest';
import { receiveLimits } from '../src/aggregate/receive/receive-limits.ts';
import { stageCar } from '../src/aggregate/receive/stage-car.ts';
import { carV1Header, encodeSectionHead } from '../src/filecoin/car.ts';
import { concat } from '../src/filecoin/concat.ts';
import { parseBytes } from '../src/filecoin/units.ts';
import { createFastCommp } from '../src/hashing/commp-engine.ts';
import { openLocalStore } from '../src/storage/local-store.ts';
import { median, rounded } from './measure.ts';

const MIB = 1024 * 1024;
const KIB = 1024;
const SHA2_256 = 0x12;
/** Of one upload: some tenths of a second each. */
const PAYLOAD_BYTES = 64 * MIB;
const BLOCK_SIZES = [256 * KIB, 16 * KIB, KIB];
/** What a body comes in, and what the bare write writes at once. */
const BODY_CHUNK_BYTES = 64 * KIB;
const WRITE_BYTES = 256 * KIB;
/** The median of 5 alternating rounds stands two that a busy machine spoils. */
const ROUNDS = 5;

interface Car {
  bytes: Uint8Array;
  blocks: Uint8Array[];
}

/** A CAR of raw blocks, all different. */
function makeCar(blockBytes: number): Car {
  const blocks = Array.from({ length: PAYLOAD_BYTES / blockBytes }, (_, index) => {
    const words = new Uint32Array(blockBytes / 4);
    let state = index;
    for (let at = 0; at < words.length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      words[at] = state;
    }
    words[0] = index;
    return new Uint8Array(words.buffer);
  });
  const sections = blocks.flatMap((block) => {
    const cid = CID.createV1(raw.code, createDigest(SHA2_256, new Uint8Array(hash('sha256', block, 'buffer'))));
    return [encodeSectionHead(cid, block.length), block];
  });
  const [first = new Uint8Array()] = blocks;
  const root = CID.createV1(raw.code, createDigest(SHA2_256, new Uint8Array(hash('sha256', first, 'buffer'))));
  return { bytes: concat([carV1Header(root), ...sections]), blocks };
}

async function* bodyOf({ bytes }: Car): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += BODY_CHUNK_BYTES) yield bytes.subarray(at, at + BODY_CHUNK_BYTES);
}

const limits = receiveLimits({ maxUploadBytes: parseBytes('1GiB'), minFreeBytes: 0n });
const space = { wrote: () => Promise.resolve() };

interface Took {
  wallS: number;
  cpuS: number;
}

async function take(act: () => void | Promise<void>): Promise<Took> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(cpu);
  return { wallS: (performance.now() - start) / 1000, cpuS: (user + system) / 1e6 };
}

/** The same hashing and the same bytes on disk, without reading a CAR, keeping links, or naming an object. */
async function bare(folder: string, { bytes, blocks }: Car): Promise<void> {
  const path = join(folder, 'bare');
  const file = await open(path, 'w');
  for (const block of blocks) hash('sha256', block, 'buffer');
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) await file.write(bytes.subarray(at, at + WRITE_BYTES));
  await file.sync();
  await file.close();
  await rm(path);
}

async function measureSize(folder: string, blockBytes: number) {
  const car = makeCar(blockBytes);
  const store = await openLocalStore(join(folder, 'store'));
  const engine = async () => {
    const staged = await store.stage('runs/bench');
    const { close } = await stageCar({ body: bodyOf(car), staged, space, limits, spillFolder: folder });
    await staged.commit();
    await close();
    await store.remove('runs/bench');
  };
  const commp = () => {
    const hasher = createFastCommp();
    for (let at = 0; at < car.bytes.length; at += BODY_CHUNK_BYTES) {
      hasher.update(car.bytes.subarray(at, at + BODY_CHUNK_BYTES));
    }
    hasher.digest();
  };
  const sha256 = () => {
    for (const block of car.blocks) hash('sha256', block, 'buffer');
  };
  const rounds: Record<'engine' | 'bare' | 'commp' | 'sha256', Took>[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const took = {
      engine: await take(engine),
      bare: await take(() => bare(folder, car)),
      commp: await take(commp),
      sha256: await take(sha256),
    };
    if (round > 0) rounds.push(took);
  }
  const ratio = (of: (round: (typeof rounds)[number]) => number) => rounded(median(rounds.map(of)));
  return {
    wall: ratio((r) => r.bare.wallS / r.engine.wallS),
    cpu: ratio((r) => r.bare.cpuS / r.engine.cpuS),
    with_commp_cpu: ratio((r) => (r.sha256.cpuS + r.commp.cpuS) / (r.engine.cpuS + r.commp.cpuS)),
    engine_mib_per_cpu_s: ratio((r) => PAYLOAD_BYTES / MIB / r.engine.cpuS),
    bare_mib_per_cpu_s: ratio((r) => PAYLOAD_BYTES / MIB / r.bare.cpuS),
  };
}

/** The engine alone, for benches that stand beside it: the same CAR again and again until so many bytes went through. */
export async function engineRun(folder: string, blockBytes: number) {
  const car = makeCar(blockBytes);
  const store = await openLocalStore(join(folder, 'store'));
  const once = async () => {
    const staged = await store.stage('runs/bench');
    const { close } = await stageCar({ body: bodyOf(car), staged, space, limits, spillFolder: folder });
    await staged.commit();
    await close();
    await store.remove('runs/bench');
  };
  return {
    run: (bytes: number) =>
      take(async () => {
        for (let done = 0; done < bytes; done += PAYLOAD_BYTES) await once();
      }),
  };
}

/** Receiving a CAR from memory to a synced object, beside the hashing and the writing of it alone. */
export async function benchReceive(): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-receive-'));
  try {
    const ratios: Record<string, Awaited<ReturnType<typeof measureSize>>> = {};
    console.log('Receiving beside sha2-256, write and fsync of the same bytes; medians, as ratios');
    for (const blockBytes of BLOCK_SIZES) {
      const found = await measureSize(folder, blockBytes);
      ratios[`${blockBytes / KIB}KiB`] = found;
      const { wall, cpu, with_commp_cpu: both } = found;
      console.log(`  blocks of ${blockBytes / KIB} KiB  wall ${wall}, CPU ${cpu}; both with CommP, CPU ${both}`);
    }
    return { bench: 'receive', ratios };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
