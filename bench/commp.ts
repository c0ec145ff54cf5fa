import * as dataSegment from '@web3-storage/data-segment/multihash';
import { createFastCommp, machineEngine } from '../src/hashing/commp-engine.ts';
import { createCommp, type Commp } from '../src/filecoin/commp/commp.ts';
import { chooseEngine } from '../src/filecoin/commp/engine.ts';
import { openCommpThreads } from '../src/hashing/commp-threads.ts';
import { openGoCommp } from './go-commp.ts';
import { alternate, median, rounded, type Contender } from './measure.ts';

/** Alternating rounds; the median of 7 stands a few that a busy machine spoils. */
const ROUNDS = 7;
/** The size of a network or disk read. */
const WRITE_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
/** Enough work for a few tenths of a second each, at rates that differ a hundredfold. */
const OUR_BYTES = 256 * MIB;
const FALLBACK_BYTES = 64 * MIB;
const DATA_SEGMENT_BYTES = 4 * MIB;
const GO_BYTES = 128 * MIB;
/** What the local store reads at once. */
const STREAM_CHUNK_BYTES = 256 * 1024;
const LIMIT_BYTES = 256 * MIB;
/** What the limit hashes at once: the size at which native calls cost nothing. */
const LIMIT_BLOCK_BYTES = MIB;
/** Bytes of 64-byte nodes that CommP hashes per byte of payload: 128/127 for Fr32, twice that for the layers. */
const HASHED_PER_PAYLOAD_BYTE = (2 * 128) / 127;

/** Bytes that do not repeat within a block, without the cost of true randomness. */
function fill(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let state = 0x9e37_79b9;
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    words[at] = state;
  }
  return new Uint8Array(words.buffer);
}

function writeAll(write: (bytes: Uint8Array) => void, payload: Uint8Array, totalBytes: number): number {
  for (let done = 0; done < totalBytes; done += WRITE_BYTES) {
    const at = done % payload.length;
    write(payload.subarray(at, at + WRITE_BYTES));
  }
  return totalBytes;
}

function contenders(payload: Uint8Array): Contender[] {
  const ours = (create: () => Commp, totalBytes: number) => () => {
    const commp = create();
    const bytes = writeAll((chunk) => commp.update(chunk), payload, totalBytes);
    commp.digest();
    return bytes;
  };
  const withoutNative = chooseEngine({ arch: process.arch }, { loadNative: () => undefined });
  const theirs = () => {
    const hasher = dataSegment.create();
    const bytes = writeAll((chunk) => hasher.write(chunk), payload, DATA_SEGMENT_BYTES);
    hasher.digest();
    return bytes;
  };
  const { hashPairs } = machineEngine();
  const nodes = new Uint8Array(LIMIT_BLOCK_BYTES / 2);
  const limit = () => {
    for (let done = 0; done < LIMIT_BYTES; done += LIMIT_BLOCK_BYTES) {
      hashPairs(payload.subarray(0, LIMIT_BLOCK_BYTES), nodes);
    }
    return LIMIT_BYTES / HASHED_PER_PAYLOAD_BYTE;
  };
  return [
    { name: 'commp', run: ours(createFastCommp, OUR_BYTES) },
    { name: 'fallback', run: ours(() => createCommp(withoutNative), FALLBACK_BYTES) },
    { name: 'data_segment', run: theirs },
    { name: 'limit', run: limit },
  ];
}

interface Took {
  wallS: number;
  cpuS: number;
  /** Of this thread alone. */
  mainCpuS: number;
}

async function take(act: () => unknown): Promise<Took> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const main = process.threadCpuUsage();
  await act();
  const all = process.cpuUsage(cpu);
  const own = process.threadCpuUsage(main);
  return {
    wallS: (performance.now() - start) / 1000,
    cpuS: (all.user + all.system) / 1e6,
    mainCpuS: (own.user + own.system) / 1e6,
  };
}

/** What a store's read gives: bytes in chunks, each of which waits its turn. */
async function* streamOf(payload: Uint8Array, totalBytes: number): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < totalBytes; done += STREAM_CHUNK_BYTES) {
    const at = done % payload.length;
    yield payload.subarray(at, at + STREAM_CHUNK_BYTES);
  }
}

/**
 * Two streams in two of the service's hashing threads beside one: by time, and what two cores of our own would give, by
 * CPU time: one stream takes what its thread does, two take half of what all threads do, the reading one included.
 */
async function measureTwoStreams(payload: Uint8Array): Promise<{ wall: number; cpu: number }> {
  await using threads = openCommpThreads(2);
  const streams = (count: number) =>
    Promise.all(Array.from({ length: count }, () => threads.hash(streamOf(payload, OUR_BYTES))));
  await streams(2);
  const rounds: { wall: number; cpu: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const one = await take(() => streams(1));
    const two = await take(() => streams(2));
    rounds.push({ wall: (2 * one.wallS) / two.wallS, cpu: (2 * (one.cpuS - one.mainCpuS)) / (two.cpuS / 2) });
  }
  return {
    wall: rounded(median(rounds.map(({ wall }) => wall))),
    cpu: rounded(median(rounds.map(({ cpu }) => cpu))),
  };
}

/** Ours / go-fil-commp-hashhash by CPU time, in alternating rounds; undefined where there is no Go. */
async function measureGo(payload: Uint8Array): Promise<number | undefined> {
  const go = await openGoCommp();
  if (typeof go === 'string') {
    console.log(`  NOT MEASURED: go-fil-commp-hashhash, because ${go}`);
    return undefined;
  }
  await using theirs = go;
  const ratios: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const commp = createFastCommp();
    const ours = await take(() => writeAll((chunk) => commp.update(chunk), payload, GO_BYTES));
    const took = await theirs.run(GO_BYTES);
    const root = Buffer.from(commp.digest().root).toString('hex');
    if (took.root !== root) throw new Error(`Go finds the commitment ${took.root}, we find ${root}`);
    if (round > 0) ratios.push(took.cpuS / ours.cpuS);
  }
  return rounded(median(ratios));
}

/** Our CommP beside data-segment's and beside the rate at which this machine could hash the nodes alone. */
export async function benchCommp(): Promise<Record<string, unknown>> {
  const payload = fill(4 * MIB);
  const rates = alternate(contenders(payload), ROUNDS);
  const rate = (name: string) => rates.get(name) ?? Number.NaN;
  const engine = machineEngine().description;
  console.log(
    `CommP, one thread, ${WRITE_BYTES / 1024} KiB writes, engine ${engine}; median of ${ROUNDS} alternating rounds, MiB of payload per CPU second`,
  );
  console.log(`  ours           ${rate('commp').toFixed(0)}`);
  console.log(`  fallback       ${rate('fallback').toFixed(0)}`);
  console.log(`  data-segment   ${rate('data_segment').toFixed(1)}`);
  console.log(`  limit (nodes)  ${rate('limit').toFixed(0)}`);
  const two = await measureTwoStreams(payload);
  console.log(`  two streams beside one: ${two.wall} by time, ${two.cpu} by CPU time`);
  const go = await measureGo(payload);
  if (go !== undefined) console.log(`  beside go-fil-commp-hashhash, by CPU time: ${go}`);
  const ratios = {
    two_streams: two,
    vs_go: go,
    vs_data_segment: rounded(rate('commp') / rate('data_segment')),
    vs_limit: rounded(rate('commp') / rate('limit')),
    fallback_vs_data_segment: rounded(rate('fallback') / rate('data_segment')),
    limit_vs_data_segment: rounded(rate('limit') / rate('data_segment')),
  };
  const mibPerSecond = Object.fromEntries([...rates].map(([name, value]) => [name, rounded(value)]));
  return {
    bench: 'commp',
    ratios,
    mib_per_cpu_s: mibPerSecond,
    engine,
    rss_mib: Math.round(process.memoryUsage.rss() / MIB),
  };
}
