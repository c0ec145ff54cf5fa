import * as dataSegment from '@web3-storage/data-segment/multihash';
import { createFastCommp, machineEngine } from '../src/hashing/commp-engine.ts';
import { createCommp, type Commp } from '../src/filecoin/commp/commp.ts';
import { chooseEngine } from '../src/filecoin/commp/engine.ts';
import { alternate, rounded, type Contender } from './measure.ts';

/** Alternating rounds; the median of 7 stands a few that a busy machine spoils. */
const ROUNDS = 7;
/** The size of a network or disk read. */
const WRITE_BYTES = 64 * 1024;
const MIB = 1024 * 1024;
/** Enough work for a few tenths of a second each, at rates that differ a hundredfold. */
const OUR_BYTES = 256 * MIB;
const FALLBACK_BYTES = 64 * MIB;
const DATA_SEGMENT_BYTES = 4 * MIB;
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

/** Our CommP beside data-segment's and beside the rate at which this machine could hash the nodes alone. */
export function benchCommp(): Record<string, unknown> {
  const rates = alternate(contenders(fill(4 * MIB)), ROUNDS);
  const rate = (name: string) => rates.get(name) ?? Number.NaN;
  const engine = machineEngine().description;
  console.log(
    `CommP, one thread, ${WRITE_BYTES / 1024} KiB writes, engine ${engine}; median of ${ROUNDS} alternating rounds, MiB/s of payload`,
  );
  console.log(`  ours           ${rate('commp').toFixed(0)}`);
  console.log(`  fallback       ${rate('fallback').toFixed(0)}`);
  console.log(`  data-segment   ${rate('data_segment').toFixed(1)}`);
  console.log(`  limit (nodes)  ${rate('limit').toFixed(0)}`);
  const ratios = {
    vs_data_segment: rounded(rate('commp') / rate('data_segment')),
    vs_limit: rounded(rate('commp') / rate('limit')),
    fallback_vs_data_segment: rounded(rate('fallback') / rate('data_segment')),
    limit_vs_data_segment: rounded(rate('limit') / rate('data_segment')),
  };
  const mibPerSecond = Object.fromEntries([...rates].map(([name, value]) => [name, rounded(value)]));
  return {
    bench: 'commp',
    ratios,
    mib_per_s: mibPerSecond,
    engine,
    rss_mib: Math.round(process.memoryUsage.rss() / MIB),
  };
}
