import { hash } from 'node:crypto';
import { once } from 'node:events';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { carV1Header, encodeSectionHead } from '../src/filecoin/car.ts';

/** Writes a CAR of so many blocks to its output: raw leaves of 64 bytes, nodes above them, each after what it links to. */
const LEAF_BYTES = 64;
const FAN = 1_000;
const RAW = 0x55;
const DAG_CBOR = 0x71;
const CHUNK_BYTES = 256 * 1024;

function cidOf(codec: number, bytes: Uint8Array): CID {
  return CID.createV1(codec, createDigest(0x12, hash('sha256', bytes, 'buffer')));
}

function leafAt(number: number): Buffer {
  const leaf = Buffer.alloc(LEAF_BYTES);
  leaf.writeDoubleLE(number);
  return leaf;
}

/** DAG-CBOR by hand: a list of links of 36 bytes, with its length in two bytes. */
function nodeOf(links: readonly Uint8Array[]): Buffer {
  const head = Buffer.from([0x99, links.length >> 8, links.length & 0xff]);
  const linkHead = Buffer.from([0xd8, 0x2a, 0x58, 37, 0]);
  return Buffer.concat([head, ...links.flatMap((link) => [linkHead, link])]);
}

interface Made {
  cid: CID;
  bytes: Buffer;
}

/** All blocks, the root last. */
function* blocksOf(leaves: number): Generator<Made> {
  const open: Uint8Array[][] = [[]];
  const rise = function* (level: number): Generator<Made> {
    const bytes = nodeOf(open[level] ?? []);
    open[level] = [];
    const made = { cid: cidOf(DAG_CBOR, bytes), bytes };
    yield made;
    yield* put(level + 1, made.cid);
  };
  const put = function* (level: number, cid: CID): Generator<Made> {
    const list = (open[level] ??= []);
    list.push(cid.bytes);
    if (list.length === FAN) yield* rise(level);
  };
  for (let number = 0; number < leaves; number += 1) {
    const bytes = leafAt(number);
    const made = { cid: cidOf(RAW, bytes), bytes };
    yield made;
    yield* put(0, made.cid);
  }
  for (let level = 0; level < open.length; level += 1) {
    const list = open[level] ?? [];
    const isTop = level === open.length - 1;
    if (list.length > 0 && !(isTop && list.length === 1 && level > 0)) yield* rise(level);
  }
}

async function write(chunk: Buffer): Promise<void> {
  if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
}

/** `missing`: the first so many leaves are left out. */
async function run(count: number, missing: number): Promise<void> {
  const leaves = Math.max(1, Math.round((count * FAN) / (FAN + 1)));
  let root: CID | undefined;
  for (const { cid } of blocksOf(leaves)) root = cid;
  if (root === undefined) throw new Error('there is at least one block');
  let pending: Uint8Array[] = [carV1Header(root)];
  let bytes = 0;
  let number = 0;
  for (const block of blocksOf(leaves)) {
    number += 1;
    if (number <= missing) continue;
    pending.push(encodeSectionHead(block.cid, block.bytes.length), block.bytes);
    bytes += block.bytes.length;
    if (bytes < CHUNK_BYTES) continue;
    await write(Buffer.concat(pending));
    pending = [];
    bytes = 0;
  }
  await write(Buffer.concat(pending));
}

const [count = '1000000', missing = '0'] = process.argv.slice(2);
await run(Number(count), Number(missing));
