import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { BATCH_DESCRIPTION } from '../src/aggregate/seal/batch-manifest.ts';
import { buildTreeAside, type TreeEntry } from '../src/aggregate/seal/batch-tree-thread.ts';
import { rounded } from './measure.ts';
import { describeLoop, watchLoop } from './watch-loop.ts';

const MIB = 1024 * 1024;
const DAG_PB = 0x70;
const SHA2_256 = 0x12;
const never = new AbortController().signal;

function entryOf(index: number): TreeEntry {
  const digest = hash('sha256', `upload ${index}`, 'buffer');
  const root = CID.createV1(DAG_PB, createDigest(SHA2_256, new Uint8Array(digest))).toString();
  return { root, dagBytes: index * 997, nodeCount: (index % 50) + 1 };
}

/** The most this process has had in memory, in MiB, as the kernel counts it; undefined elsewhere than on Linux. */
function peakMib(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const kib = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return kib === undefined ? undefined : Number(kib) / 1024;
}

/** Building the batch tree as sealing does, beside the event loop; `count` uploads, 100,000 by default. */
export async function benchBatchTree(count = '100000'): Promise<Record<string, unknown>> {
  const entries = Array.from({ length: Number(count) }, (_, index) => entryOf(index));
  const before = process.memoryUsage.rss() / MIB;
  const cpu = process.cpuUsage();
  const start = performance.now();
  await using loop = await watchLoop();
  const tree = await buildTreeAside(entries, BATCH_DESCRIPTION, never);
  const seconds = (performance.now() - start) / 1000;
  const delays = await loop.read();
  const { user, system } = process.cpuUsage(cpu);
  const peak = peakMib();
  console.log(
    `The batch tree of ${count} uploads: ${seconds.toFixed(2)} s, ${((user + system) / 1e6).toFixed(2)} s of CPU`,
  );
  console.log(
    `  memory         ${peak === undefined ? 'unknown' : (peak - before).toFixed(0)} MiB over ${before.toFixed(0)}`,
  );
  console.log(`  event loop     ${describeLoop(delays)}`);
  return {
    bench: 'batch-tree',
    ratios: { loop_max_vs_idle: rounded(delays.own.max / delays.control.max) },
    seconds: rounded(seconds),
    cpu_s: rounded((user + system) / 1e6),
    memory_mib: peak === undefined ? null : Math.round(peak - before),
    tree_mib: rounded(tree.sectionBytes / MIB),
    loop_delay_ms: delays,
  };
}
