import { decode as decodeDagPb, type PBNode } from '@ipld/dag-pb';
import { UnixFS } from 'ipfs-unixfs';
import type { CID } from 'multiformats/cid';
import { DAG_PB, RAW } from '../../filecoin/codes.ts';
import { linksOf } from '../../filecoin/dag.ts';

/** How much of what lies below a block belongs to it. */
export type DagScope = 'block' | 'entity' | 'all';

/** Bytes of a file, `end` exclusive. */
export interface FileRange {
  start: number;
  end: number;
}

/** A block to go on with, and the bytes of its own that are wanted; undefined: all. */
export interface WantedLink {
  cid: CID;
  range?: FileRange | undefined;
}

/** As `entity-bytes` has them: both inclusive, below zero from the end; undefined: to the end. */
export interface EntityBytes {
  from: number;
  to: number | undefined;
}

/**
 * Pure: the links that the scope follows from a block. An entity is all of a UnixFS file, or of it what holds the range, and of
 * a directory what lists it; of anything else the block alone.
 */
export function linksWithin(scope: DagScope, cid: CID, block: Uint8Array, range?: FileRange): WantedLink[] {
  if (scope === 'block' || cid.code === RAW) return [];
  if (scope === 'all') return linksOf(cid, block).map((link) => ({ cid: link }));
  if (cid.code !== DAG_PB) return [];
  const node = decodeDagPb(block);
  const unixfs = unixfsOf(node);
  if (unixfs?.type === 'hamt-sharded-directory') return shardLinks(node, unixfs);
  if (unixfs?.type !== 'file' && unixfs?.type !== 'raw') return [];
  return range === undefined ? node.Links.map(({ Hash }) => ({ cid: Hash })) : fileLinks(node, unixfs, range);
}

/** Pure: how long the file is that the block is the root of; undefined when it is none. */
export function fileBytesOf(cid: CID, block: Uint8Array): number | undefined {
  if (cid.code === RAW) return block.length;
  if (cid.code !== DAG_PB) return undefined;
  const unixfs = unixfsOf(decodeDagPb(block));
  return unixfs?.type === 'file' || unixfs?.type === 'raw' ? Number(unixfs.fileSize()) : undefined;
}

/** Pure: the bytes of a file of this size that are asked for; 'outside' when none can be, undefined for no bytes. */
export function rangeWithin({ from, to }: EntityBytes, fileBytes: number): FileRange | 'outside' | undefined {
  const start = from < 0 ? Math.max(0, fileBytes + from) : from;
  const last = to === undefined ? fileBytes - 1 : to < 0 ? fileBytes + to : to;
  if (fileBytes > 0 && (start >= fileBytes || last < 0)) return 'outside';
  const end = Math.min(fileBytes, last + 1);
  return start < end ? { start, end } : undefined;
}

/** The shards below: their links are named by their place alone, those of entries by place and name. */
function shardLinks({ Links }: PBNode, { fanout }: UnixFS): WantedLink[] {
  const prefix = (Number(fanout ?? 256n) - 1).toString(16).length;
  return Links.filter(({ Name }) => Name?.length === prefix).map(({ Hash }) => ({ cid: Hash }));
}

function fileLinks({ Links }: PBNode, { data, blockSizes }: UnixFS, range: FileRange): WantedLink[] {
  const wanted: WantedLink[] = [];
  let at = data?.length ?? 0;
  for (const [number, { Hash }] of Links.entries()) {
    const size = Number(blockSizes[number] ?? 0n);
    const start = Math.max(range.start - at, 0);
    const end = Math.min(range.end - at, size);
    // All of it is the same as no range: it may be skipped when it comes again.
    if (start < end) wanted.push({ cid: Hash, range: end - start === size ? undefined : { start, end } });
    at += size;
  }
  return wanted;
}

/** Undefined when what the node carries is no UnixFS. */
function unixfsOf({ Data }: PBNode): UnixFS | undefined {
  try {
    return Data === undefined ? undefined : UnixFS.unmarshal(Data);
  } catch {
    return undefined;
  }
}
