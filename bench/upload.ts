import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseBytes } from '../src/filecoin/units.ts';
import { median, rounded } from './measure.ts';
import { engineRun } from './receive.ts';
import { startServiceChild, type ServiceChild } from './service-child.ts';
import type { StreamOrder, StreamReport } from './upload-stream.ts';

const MIB = 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;
/** Some tenths of a second of CPU, which /proc tells in hundredths. */
const ROUND_BYTES = 512 * MIB;
const ROUNDS = 3;
const SIDE_BY_SIDE = 8;
const SIDE_BYTES = 256 * MIB;
/** Often enough for a p99 of some seconds. */
const PROBE_MS = 10;

/** A process that sends what it is ordered to: its making of blocks is not the service's CPU time. */
async function openClient() {
  const child = fork(new URL('./upload-stream.ts', import.meta.url));
  let seed = 0;
  return {
    async send(service: ServiceChild, bytes: number, uploads: number): Promise<StreamReport> {
      seed += 1;
      const { url, token } = service;
      const order: StreamOrder = {
        url,
        token,
        blockBytes: BLOCK_BYTES,
        blocks: Math.ceil(bytes / BLOCK_BYTES),
        uploads,
        seed,
      };
      const answer = Promise.race([
        once(child, 'message'),
        once(child, 'exit').then(() => Promise.reject(new Error('the client ended'))),
      ]);
      child.send(order);
      const [report] = (await answer) as [StreamReport];
      return report;
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

type Client = Awaited<ReturnType<typeof openClient>>;

/** MiB per CPU second of the service, and of the receive engine in this process, in turn. */
async function measureRates(folder: string, client: Client) {
  await using service = await startServiceChild(join(folder, 'rates'));
  const engine = await engineRun(join(folder, 'engine'), BLOCK_BYTES);
  const rounds: { http: number; engine: number }[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const before = await service.cpuSeconds();
    const { bytes } = await client.send(service, ROUND_BYTES, 1);
    const http = bytes / MIB / ((await service.cpuSeconds()) - before);
    const took = await engine.run(ROUND_BYTES);
    if (round > 0) rounds.push({ http, engine: ROUND_BYTES / MIB / took.cpuS });
  }
  return {
    vs_engine: rounded(median(rounds.map(({ http, engine: own }) => http / own))),
    mib_per_cpu_s: rounded(median(rounds.map(({ http }) => http))),
    engine_mib_per_cpu_s: rounded(median(rounds.map(({ engine: own }) => own))),
  };
}

async function measureMemory(folder: string, client: Client, bytes: number) {
  await using service = await startServiceChild(join(folder, 'memory'));
  const before = await service.rssMib();
  const { seconds } = await client.send(service, bytes, 1);
  const after = await service.rssMib();
  return {
    start_mib: Math.round(before.now),
    start_peak_mib: Math.round(before.peak),
    peak_mib: Math.round(after.peak),
    seconds: rounded(seconds[0] ?? Number.NaN),
  };
}

function spread(times: number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/**
 * Answer times of /livez, asked again and again until told to stop, and in turn those of an idle process that answers
 * this one: what the machine alone makes of a question and an answer.
 */
function probe({ url }: ServiceChild) {
  const idle = fork(new URL('./idle-loop.ts', import.meta.url));
  const ask = { livez: async () => void (await (await fetch(`${url}/livez`)).arrayBuffer()), idle: () => ping(idle) };
  const times = { livez: [] as number[], idle: [] as number[] };
  const stopping = new AbortController();
  const asking = (async () => {
    await ping(idle);
    while (!stopping.signal.aborted) {
      for (const whom of ['livez', 'idle'] as const) {
        const start = performance.now();
        await ask[whom]();
        times[whom].push(performance.now() - start);
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    }
  })();
  return async () => {
    stopping.abort();
    await asking;
    idle.disconnect();
    return { livez_ms: spread(times.livez), idle_ms: spread(times.idle), probes: times.livez.length };
  };
}

async function ping(idle: ChildProcess): Promise<void> {
  const answer = once(idle, 'message');
  idle.send('ping');
  await answer;
}

async function measureSideBySide(folder: string, client: Client) {
  await using service = await startServiceChild(join(folder, 'side'));
  const stop = probe(service);
  const { seconds } = await client.send(service, SIDE_BYTES, SIDE_BY_SIDE);
  const answers = await stop();
  const { peak } = await service.rssMib();
  return {
    ...answers,
    slowest_vs_fastest: rounded(Math.max(...seconds) / Math.min(...seconds)),
    peak_mib: Math.round(peak),
  };
}

/** `POST /upload` of large CARs to a service in its own process: CPU time, memory, and eight at once. */
export async function benchUpload(size = '4GiB', ...parts: string[]): Promise<Record<string, unknown>> {
  const bytes = Number(parseBytes(size));
  const wanted = (part: string) => parts.length === 0 || parts.includes(part);
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-upload-'));
  try {
    await using client = await openClient();
    const rates = wanted('rates') ? await measureRates(folder, client) : undefined;
    if (rates) console.log(`Uploading beside the receive engine, by CPU time: ${rates.vs_engine}`);
    const memory = wanted('memory') ? await measureMemory(folder, client, bytes) : undefined;
    if (memory) console.log(`Receiving ${size}: ${memory.peak_mib} MiB at most, ${memory.start_mib} before`);
    const side = wanted('side') ? await measureSideBySide(folder, client) : undefined;
    if (side)
      console.log(
        `Eight at once: /livez p99 ${side.livez_ms.p99} ms, an idle process ${side.idle_ms.p99}; slowest / fastest ${side.slowest_vs_fastest}`,
      );
    return { bench: 'upload', ratios: { vs_engine: rates?.vs_engine }, rates, memory, side_by_side: side };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
