import { hash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { carV1Header, encodeSectionHead } from '../src/filecoin/car.ts';

/** What the worker is told: whom to send to, over how many connections, for how long. */
export interface ClientOrder {
  port: number;
  token: string;
  connections: number;
  /** Until then uploads are sent; without a count. */
  forMs: number;
  /** So many uploads are sent, however long it takes. */
  count?: number;
  /** Makes the uploads of this run different from those of others. */
  seed: string;
}

export interface ClientReport {
  acknowledged: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Rates while the first and the last tenth were acknowledged. */
  firstTenthPerSecond: number;
  lastTenthPerSecond: number;
}

const RAW = 0x55;
const BLOCK_BYTES = 10 * 1024;

function distinctCar(seed: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, seed);
  const cid = CID.createV1(RAW, createDigest(0x12, hash('sha256', block, 'buffer')));
  return Buffer.concat([carV1Header(cid), encodeSectionHead(cid, block.length), block]);
}

async function send(order: ClientOrder, agent: Agent, body: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { port, token } = order;
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/vnd.ipld.car',
    'content-length': body.length,
  };
  const sent = request({ host: '127.0.0.1', port, path: '/upload', method: 'POST', agent, headers }, (answer) => {
    answer.resume();
    answer.on('end', () => {
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`the service answered ${answer.statusCode}`));
    });
  });
  sent.on('error', reject);
  sent.end(body);
  await promise;
}

/** Uploads a second over this stretch of the moments (ms) at which they were acknowledged. */
function rateBetween(moments: readonly number[], from: number, to: number): number {
  const [start = Number.NaN, end = Number.NaN] = [moments[from], moments[to]];
  return ((to - from) / (end - start)) * 1000;
}

async function run(order: ClientOrder): Promise<ClientReport> {
  const { connections, forMs, count = Infinity, seed } = order;
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const times: number[] = [];
  const moments: number[] = [];
  const start = performance.now();
  let begun = 0;
  const isOver = () => begun >= count || (count === Infinity && performance.now() - start >= forMs);
  const keepSending = async () => {
    while (!isOver()) {
      const body = distinctCar(`${seed} ${(begun += 1)} `);
      const sentAt = performance.now();
      await send(order, agent, body);
      const now = performance.now();
      times.push(now - sentAt);
      moments.push(now);
    }
  };
  await Promise.all(Array.from({ length: connections }, keepSending));
  const seconds = (performance.now() - start) / 1000;
  agent.destroy();
  const sorted = Float64Array.from(times).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  const tenth = Math.floor(moments.length / 10);
  return {
    acknowledged: times.length,
    perSecond: times.length / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    firstTenthPerSecond: rateBetween(moments, 0, tenth),
    lastTenthPerSecond: rateBetween(moments, moments.length - 1 - tenth, moments.length - 1),
  };
}

const report = await run(workerData as ClientOrder);
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
parentPort?.postMessage(report);
