import { UnixFS } from 'ipfs-unixfs';

/** A link of a directory in binary: `tsize` counts the encoded bytes of the node and of all below it. */
export interface BinaryLink {
  name: string;
  cidBytes: Uint8Array;
  tsize: number;
}

const TAG_NODE_DATA = 0x0a;
const TAG_NODE_LINK = 0x12;
const TAG_LINK_HASH = 0x0a;
const TAG_LINK_NAME = 0x12;
const TAG_LINK_TSIZE = 0x18;

const DIRECTORY_DATA = new UnixFS({ type: 'directory' }).marshal();

function varintBytes(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

/** Writes at `at`; gives where the next byte goes. Bit operations would cut the value to 32 bits. */
function putVarint(target: Uint8Array, at: number, value: number): number {
  let next = at;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[next++] = (rest % 0x80) | 0x80;
  target[next++] = rest;
  return next;
}

function putBytes(target: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  target[at] = tag;
  const start = putVarint(target, at + 1, bytes.length);
  target.set(bytes, start);
  return start + bytes.length;
}

/** Tag, length and bytes. */
function fieldBytes(length: number): number {
  return 1 + varintBytes(length) + length;
}

function linkBytes({ name, cidBytes, tsize }: BinaryLink): number {
  return fieldBytes(cidBytes.length) + fieldBytes(Buffer.byteLength(name)) + 1 + varintBytes(tsize);
}

function putLink(target: Buffer, at: number, link: BinaryLink): number {
  const { name, cidBytes, tsize } = link;
  target[at] = TAG_NODE_LINK;
  let next = putVarint(target, at + 1, linkBytes(link));
  next = putBytes(target, next, TAG_LINK_HASH, cidBytes);
  target[next] = TAG_LINK_NAME;
  next = putVarint(target, next + 1, Buffer.byteLength(name));
  next += target.write(name, next);
  target[next] = TAG_LINK_TSIZE;
  return putVarint(target, next + 1, tsize);
}

/**
 * The bytes of a plain UnixFSv1 directory (never HAMT) as DAG-PB writes them, links first. The links come in bytewise
 * order of their names. A batch tree has as many directories as uploads, so they are written straight into place.
 */
export function encodeDirectory(links: readonly BinaryLink[]): Buffer {
  const length = links.reduce((sum, link) => sum + fieldBytes(linkBytes(link)), fieldBytes(DIRECTORY_DATA.length));
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const link of links) at = putLink(bytes, at, link);
  putBytes(bytes, at, TAG_NODE_DATA, DIRECTORY_DATA);
  return bytes;
}
