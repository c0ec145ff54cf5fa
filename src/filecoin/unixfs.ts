import { hash } from 'node:crypto';
import * as dagPb from '@ipld/dag-pb';
import { UnixFS } from 'ipfs-unixfs';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as digest from 'multiformats/hashes/digest';
import { encodeDirectory } from './encode-directory.ts';

const SHA2_256 = 0x12;

/** Chunk and width of files as kubo and go-unixfs cut them by default. */
export const FILE_CHUNK_BYTES = 256 * 1024;
export const FILE_NODE_LINKS = 174;

export interface Block {
  cid: CID;
  bytes: Uint8Array;
}

/** A node as its parent's link needs it: `tsize` counts the encoded bytes of the node and of all below it. */
export interface UnixfsNode {
  cid: CID;
  tsize: number;
}

export interface DirectoryEntry extends UnixfsNode {
  name: string;
}

/** A node of a file: `fileBytes` counts the bytes of the file that it covers. */
export interface FileNode extends UnixfsNode {
  fileBytes: number;
}

function blockOf(code: number, bytes: Uint8Array): Block {
  const sha256 = new Uint8Array(hash('sha256', bytes, 'buffer'));
  return { cid: CID.createV1(code, digest.create(SHA2_256, sha256)), bytes };
}

function sumOf(start: number, values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, start);
}

function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A plain UnixFSv1 directory (never HAMT), CIDv1 with sha2-256; its links are sorted bytewise by name. */
export function directoryNode(entries: readonly DirectoryEntry[]): UnixfsNode & Block {
  const links = entries.map(({ name, cid, tsize }) => ({ name, cidBytes: cid.bytes, tsize }));
  const bytes = encodeDirectory(links.toSorted((a, b) => compareNames(a.name, b.name)));
  const tsize = sumOf(
    bytes.length,
    entries.map((entry) => entry.tsize),
  );
  return { ...blockOf(dagPb.code, bytes), tsize };
}

/** A chunk of a file as a raw leaf. */
export function fileLeaf(chunk: Uint8Array): FileNode & Block {
  return { ...blockOf(raw.code, chunk), tsize: chunk.length, fileBytes: chunk.length };
}

function fileParent(children: readonly FileNode[]): FileNode & Block {
  const sizes = children.map(({ fileBytes }) => fileBytes);
  const data = new UnixFS({ type: 'file', blockSizes: sizes.map(BigInt) });
  const links = children.map(({ cid, tsize }) => ({ Name: '', Hash: cid, Tsize: tsize }));
  const bytes = dagPb.encode({ Data: data.marshal(), Links: links });
  const tsize = sumOf(
    bytes.length,
    children.map((child) => child.tsize),
  );
  return { ...blockOf(dagPb.code, bytes), tsize, fileBytes: sumOf(0, sizes) };
}

/**
 * The balanced tree over a file's leaves (as go-unixfs `balanced.Layout` and ipfs-unixfs-importer lay it): its inner
 * nodes, root first; none for a file of one leaf, which is its own root.
 */
export function fileTree(leaves: readonly FileNode[]): { root: FileNode; nodes: Block[] } {
  const layers: Block[][] = [];
  let layer = leaves;
  while (layer.length > 1) {
    const parents: (FileNode & Block)[] = [];
    for (let at = 0; at < layer.length; at += FILE_NODE_LINKS) {
      parents.push(fileParent(layer.slice(at, at + FILE_NODE_LINKS)));
    }
    layers.unshift(parents);
    layer = parents;
  }
  const root = layer[0];
  if (root === undefined) throw new RangeError('a file has at least one leaf, if an empty one');
  return { root, nodes: layers.flat() };
}
