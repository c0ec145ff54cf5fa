import { createHash } from 'node:crypto';
import { importer } from 'ipfs-unixfs-importer';
import { fixedSize } from 'ipfs-unixfs-importer/chunker';
import { balanced } from 'ipfs-unixfs-importer/layout';
import type { CID } from 'multiformats/cid';
import { gather } from '../../support/gather.ts';
import type { Block } from '../../support/car-builder.ts';

/** Bytes that follow from the seed, and differ everywhere. */
export function bytesOf(seed: string, length: number): Buffer {
  const chunks = Array.from({ length: Math.ceil(length / 32) }, (_, at) =>
    createHash('sha256').update(`${seed} ${at}`).digest(),
  );
  return Buffer.concat(chunks).subarray(0, length);
}

export interface SampleTree {
  root: CID;
  /** As the importer wrote them: leaves first, the root last. */
  blocks: Block[];
}

/**
 * A tree as uploaders send it: a file of three levels, one of zeros whose chunks are all the same, a sharded directory of 400
 * names, and some small files, two of them alike.
 */
export async function sampleTree(): Promise<SampleTree> {
  const blocks = new Map<string, Block>();
  const put = async (cid: CID, bytes: Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
    const whole = bytes instanceof Uint8Array ? bytes : Buffer.concat(await gather(bytes));
    blocks.set(cid.toString(), { cid, bytes: whole });
    return cid;
  };
  const files = [
    { path: 'tree/large.bin', content: bytesOf('large', 700_000) },
    { path: 'tree/zeros.bin', content: Buffer.alloc(100_000) },
    { path: 'tree/empty', content: Buffer.alloc(0) },
    { path: 'tree/sub/a.txt', content: Buffer.from('alike') },
    { path: 'tree/sub/b.txt', content: Buffer.from('alike') },
    ...Array.from({ length: 400 }, (_, at) => ({ path: `tree/many/${at}.txt`, content: Buffer.from(`file ${at}`) })),
  ];
  const options = {
    cidVersion: 1 as const,
    rawLeaves: true,
    chunker: fixedSize({ chunkSize: 4_096 }),
    layout: balanced({ maxChildrenPerNode: 11 }),
    shardSplitThresholdBytes: 4_096,
  };
  const entries = await gather(importer(files, { put }, options));
  const root = entries.find(({ path }) => path === 'tree');
  if (root === undefined) throw new Error('the importer made no root');
  return { root: root.cid, blocks: [...blocks.values()] };
}
