import { createHash, type Hash } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { carV1Header, encodeSectionHead } from '../src/filecoin/car.ts';

/** What this process is told: to whom to send CARs of raw blocks, how large, how many side by side. */
export interface StreamOrder {
  url: string;
  token: string;
  blockBytes: number;
  blocks: number;
  uploads: number;
  /** Makes the blocks of this order different from those of others. */
  seed: number;
}

/** When each upload was answered, in seconds from the start of all. */
export interface StreamReport {
  bytes: number;
  seconds: number[];
}

const RAW = 0x55;
const SHA2_256 = 0x12;
/** What tells blocks apart stands at their end, so that the hash of the rest is made once. */
const TAIL_BYTES = 16;
/** A socket write of this size costs little beside its bytes. */
const SEND_BYTES = 256 * 1024;

interface BlockMaker {
  body: Buffer;
  begun: Hash;
}

function blockMaker(blockBytes: number): BlockMaker {
  const body = Buffer.alloc(blockBytes - TAIL_BYTES);
  for (let at = 0; at + 4 <= body.length; at += 4) body.writeUInt32LE(Math.imul(at + 1, 2_654_435_761) >>> 0, at);
  return { body, begun: createHash('sha256').update(body) };
}

function section({ body, begun }: BlockMaker, seed: number, nth: number): { cid: CID; bytes: Buffer } {
  const tail = Buffer.alloc(TAIL_BYTES);
  tail.writeDoubleLE(seed, 0);
  tail.writeDoubleLE(nth, 8);
  const cid = CID.createV1(RAW, createDigest(SHA2_256, begun.copy().update(tail).digest()));
  return { cid, bytes: Buffer.concat([encodeSectionHead(cid, body.length + tail.length), body, tail]) };
}

/** A CAR whose root is its first block, made as it is sent: nothing of it is held. */
function* carOf({ blockBytes, blocks }: StreamOrder, seed: number): Generator<Buffer> {
  const maker = blockMaker(blockBytes);
  const first = section(maker, seed, 0);
  let held: Buffer = Buffer.concat([carV1Header(first.cid), first.bytes]);
  for (let nth = 1; nth < blocks; nth += 1) {
    if (held.length >= SEND_BYTES) {
      yield held;
      held = section(maker, seed, nth).bytes;
    } else held = Buffer.concat([held, section(maker, seed, nth).bytes]);
  }
  yield held;
}

function carBytes(order: StreamOrder): number {
  const first = section(blockMaker(order.blockBytes), 0, 0);
  return carV1Header(first.cid).length + order.blocks * first.bytes.length;
}

async function send(order: StreamOrder, seed: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const headers = {
    authorization: `Bearer ${order.token}`,
    'content-type': 'application/vnd.ipld.car',
    'content-length': carBytes(order),
  };
  const sent = request(`${order.url}/upload`, { method: 'POST', headers, agent: false }, (answer) => {
    answer.resume();
    answer.on('end', () => {
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`the service answered ${answer.statusCode}`));
    });
  });
  sent.on('error', reject);
  Readable.from(carOf(order, seed), { objectMode: true, highWaterMark: 1 }).pipe(sent);
  await promise;
}

async function run(order: StreamOrder): Promise<StreamReport> {
  const start = performance.now();
  const seconds = await Promise.all(
    Array.from({ length: order.uploads }, async (_, at) => {
      await send(order, order.seed + at / 16);
      return (performance.now() - start) / 1000;
    }),
  );
  return { bytes: carBytes(order) * order.uploads, seconds };
}

process.on('message', (order: StreamOrder) => {
  run(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit());
