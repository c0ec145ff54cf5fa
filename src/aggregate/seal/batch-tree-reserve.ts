import { FILE_CHUNK_BYTES, FILE_NODE_LINKS } from '../../filecoin/unixfs.ts';
import { entryLine, MANIFEST_NAME, MAX_DESCRIPTION_BYTES, preambleLine, summaryLine } from './batch-manifest.ts';

/** The longest root we reserve for: version, codec, and a hash of 64 bytes with a long code. Identity roots may exceed it. */
const MAX_ROOT_BYTES = 72;
/** The same as text: `b` and base32. */
export const MAX_ROOT_CHARS = 1 + Math.ceil((MAX_ROOT_BYTES * 8) / 5);
/** CIDv1 with sha2-256 of our own nodes. */
const NODE_CID_BYTES = 36;
/** Varint bytes of the largest safe integer: no size in the tree is larger. */
const MAX_SIZE_VARINT = 8;
/** A section starts with a varint of its length: 5 bytes reach 32 GiB. */
const SECTION_HEAD_BYTES = 5 + NODE_CID_BYTES;
/** UnixFS data of a directory: tag, length, and two bytes that say so. */
const DIRECTORY_DATA_BYTES = 4;
const OUTER_NAME_CHARS = 8;
const INNER_NAME_CHARS = 10;
/** A CIDv1 starts with one of 4 texts of 3 characters, and its last 2 characters are base32. */
const MAX_OUTER_DIRECTORIES = 4 * 32 ** 2;

/** Tag, length and value of a link's hash, name and Tsize, in a tag and a length of at most 2 bytes. */
function linkBytes(cidBytes: number, nameChars: number): number {
  return 3 + (2 + cidBytes) + (2 + nameChars) + (1 + MAX_SIZE_VARINT);
}

/** One manifest line at its longest; a root that has a CIDv0 beside its CIDv1 is longer than any root that has none. */
function maxLineBytes(entryCount: number): number {
  const sizes = { dagBytes: Number.MAX_SAFE_INTEGER, nodeCount: Number.MAX_SAFE_INTEGER };
  const prefixes = ['o'.repeat(OUTER_NAME_CHARS), 'i'.repeat(INNER_NAME_CHARS)] as const;
  const indexes = [MAX_OUTER_DIRECTORIES, entryCount, entryCount] as const;
  const place = { ...sizes, prefixes, indexes };
  const both = entryLine({ ...place, cidV1: 'b'.repeat(59), cidV0: 'Q'.repeat(46) });
  const longest = entryLine({ ...place, cidV1: 'b'.repeat(MAX_ROOT_CHARS), cidV0: undefined });
  return Math.max(both.length, longest.length);
}

function manifestFileBytes(manifestBytes: number): number {
  const leaves = Math.ceil(manifestBytes / FILE_CHUNK_BYTES);
  // Inner nodes of all layers: fewer than twice the lowest layer's, and one a layer.
  const nodes = 2 * Math.ceil(leaves / FILE_NODE_LINKS) + 2;
  const perChild = linkBytes(NODE_CID_BYTES, 0) + 1 + MAX_SIZE_VARINT;
  const perNode = SECTION_HEAD_BYTES + 3 * (1 + MAX_SIZE_VARINT) + perChild;
  return manifestBytes + leaves * (SECTION_HEAD_BYTES + perChild) + nodes * perNode;
}

/**
 * An upper bound in bytes of the CAR sections of a batch tree of `entryCount` uploads, whatever their roots (of at most
 * `MAX_ROOT_CHARS`) and sizes: what an aggregate keeps free for its tree. About 1.4 times the size for 100,000 dag-pb roots.
 */
export function batchTreeReserve(entryCount: number): number {
  const directory = SECTION_HEAD_BYTES + DIRECTORY_DATA_BYTES;
  const perEntry = linkBytes(MAX_ROOT_BYTES, MAX_ROOT_CHARS) + directory + linkBytes(NODE_CID_BYTES, INNER_NAME_CHARS);
  const outer = Math.min(entryCount, MAX_OUTER_DIRECTORIES) * (directory + linkBytes(NODE_CID_BYTES, OUTER_NAME_CHARS));
  const root = directory + linkBytes(NODE_CID_BYTES, MANIFEST_NAME.length);
  const head = preambleLine().length + summaryLine(entryCount, '').length + MAX_DESCRIPTION_BYTES;
  return root + outer + entryCount * perEntry + manifestFileBytes(head + entryCount * maxLineBytes(entryCount));
}
