import { CID } from 'multiformats/cid';
import * as dagPb from '@ipld/dag-pb';
import { base32 } from 'multiformats/bases/base32';
import { base58btc } from 'multiformats/bases/base58';
import { encodeSectionHead } from '../../filecoin/car.ts';
import { concat } from '../../filecoin/concat.ts';
import {
  directoryNode,
  fileLeaf,
  fileTree,
  type Block,
  type DirectoryEntry,
  type FileNode,
} from '../../filecoin/unixfs.ts';
import { LadingError } from '../../errors.ts';
import { checkDescription, MANIFEST_NAME, manifestChunks, type ManifestEntry } from './batch-manifest.ts';

/** An upload to be listed. `dagBytes` sums its blocks, `nodeCount` counts them; leave out what is unknown. */
export interface BatchEntry {
  cid: CID;
  dagBytes?: number | undefined;
  nodeCount?: number | undefined;
}

/** Where an upload hangs in the tree, as link indexes and as the datamodelSelector built of them. */
export interface BatchPath {
  indexes: readonly [number, number, number];
  selector: string;
}

export interface BatchTree {
  root: CID;
  /** All blocks as CAR sections, the root's first; each buffer has whole ones. */
  sections: readonly Uint8Array<ArrayBuffer>[];
  /** By canonical root (CIDv1 base32), in bytewise order. */
  paths: ReadonlyMap<string, BatchPath>;
  /** Bytes of the blocks as CAR sections. */
  sectionBytes: number;
}

/** Directory names are the first characters of a CID, `...` and its last ones: 4 in the inner layer, 2 in the outer. */
const HEAD_CHARS = 3;
const INNER_TAIL_CHARS = 4;
const OUTER_TAIL_CHARS = 2;
/** Index 0 of the root's links is the manifest, whose name sorts before every other. */
const FIRST_DIRECTORY_INDEX = 1;
const SHA2_256 = 0x12;

/** An upload without its CID, which its text tells: 100,000 CIDs as objects would hold 80 MB. */
interface Leaf {
  /** CIDv1 in base32. */
  name: string;
  dagBytes: number | undefined;
  nodeCount: number | undefined;
  outerName: string;
  innerName: string;
  indexes: BatchPath['indexes'];
}

/** CIDs and names made of them are ASCII, so JavaScript's order of code units is the order of bytes. */
function compareAscii(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function tailName(cid: string, tailChars: number): string {
  return `${cid.slice(0, HEAD_CHARS)}...${cid.slice(-tailChars)}`;
}

/** As `cid.toString()`, which keeps a cache for each CID: with it 100,000 of them would hold 20 MB more. */
function textOf(cid: CID): string {
  return base32.encode(cid.bytes);
}

function leafOf({ dagBytes, nodeCount }: BatchEntry, name: string): Leaf {
  const innerName = tailName(name, INNER_TAIL_CHARS);
  const outerName = tailName(innerName, OUTER_TAIL_CHARS);
  return { name, dagBytes, nodeCount, outerName, innerName, indexes: [0, 0, 0] };
}

/** CIDv1, de-duplicated (the first one's sizes count) and sorted bytewise. */
function normalize(entries: Iterable<BatchEntry>): Leaf[] {
  const byName = new Map<string, Leaf>();
  for (const entry of entries) {
    const name = textOf(entry.cid.toV1());
    if (!byName.has(name)) byName.set(name, leafOf(entry, name));
  }
  return [...byName.values()].sort((a, b) => compareAscii(a.name, b.name));
}

/** In the order of the tree; of leaves in the same directory, the order is that of their names already. */
function inTreeOrder(leaves: readonly Leaf[]): Leaf[] {
  return leaves.toSorted((a, b) => compareAscii(a.outerName, b.outerName) || compareAscii(a.innerName, b.innerName));
}

/** Runs of neighbours of the same name. */
function* runsOf(leaves: readonly Leaf[], nameOf: (leaf: Leaf) => string): Generator<[string, Leaf[]]> {
  for (let at = 0; at < leaves.length; ) {
    const first = leaves[at];
    if (first === undefined) return;
    const name = nameOf(first);
    let end = at + 1;
    for (let next = leaves[end]; next !== undefined && nameOf(next) === name; next = leaves[end]) end += 1;
    yield [name, leaves.slice(at, end)];
    at = end;
  }
}

/** The CIDv0 text, which is the multihash in base58, of what has one. */
function cidV0Of(cid: CID): string | undefined {
  const hasV0 = cid.code === dagPb.code && cid.multihash.code === SHA2_256 && cid.multihash.size === 32;
  return hasV0 ? base58btc.baseEncode(cid.multihash.bytes) : undefined;
}

function cidOf({ name }: Leaf): CID {
  return CID.decode(base32.decode(name));
}

/** Blocks as the CAR sections they become, many in one buffer: small ones by themselves would take ten times the room. */
function sectionsOf(blocks: readonly Block[]): Uint8Array<ArrayBuffer> {
  return concat(blocks.flatMap(({ cid, bytes }) => [encodeSectionHead(cid, bytes.length), bytes]));
}

interface Directories {
  links: DirectoryEntry[];
  sections: Uint8Array<ArrayBuffer>[];
}

/** Encodes all directories below the root, and notes each upload's place in its leaf. */
function buildDirectories(leaves: readonly Leaf[]): Directories {
  const built: Directories = { links: [], sections: [] };
  for (const [outerName, below] of runsOf(inTreeOrder(leaves), (leaf) => leaf.outerName)) {
    const i = built.links.length + FIRST_DIRECTORY_INDEX;
    const innerNodes = [...runsOf(below, (leaf) => leaf.innerName)].map(([name, members], j) => {
      for (const [k, leaf] of members.entries()) leaf.indexes = [i, j, k];
      return { name, ...directoryNode(members.map(leafLink)) };
    });
    const outer = directoryNode(innerNodes);
    built.links.push({ name: outerName, cid: outer.cid, tsize: outer.tsize });
    built.sections.push(sectionsOf([outer, ...innerNodes]));
  }
  return built;
}

function leafLink(leaf: Leaf): DirectoryEntry {
  return { name: leaf.name, cid: cidOf(leaf), tsize: leaf.dagBytes ?? 0 };
}

function* manifestEntries(leaves: readonly Leaf[]): Generator<ManifestEntry> {
  for (const leaf of leaves) {
    const { name, dagBytes, nodeCount, outerName, innerName, indexes } = leaf;
    yield { cidV1: name, cidV0: cidV0Of(cidOf(leaf)), dagBytes, nodeCount, prefixes: [outerName, innerName], indexes };
  }
}

function pathOf([i, j, k]: BatchPath['indexes']): BatchPath {
  return {
    indexes: [i, j, k],
    // Made when asked for: 100,000 of them would hold 10 MB.
    get selector() {
      return `Links/${i}/Hash/Links/${j}/Hash/Links/${k}/Hash`;
    },
  };
}

/** The manifest as a file, its chunks as sections. */
function buildManifest(leaves: readonly Leaf[], description: string) {
  const fileLeaves: FileNode[] = [];
  const sections: Uint8Array<ArrayBuffer>[] = [];
  for (const chunk of manifestChunks({ entries: manifestEntries(leaves), count: leaves.length }, description)) {
    const { cid, bytes, tsize, fileBytes } = fileLeaf(chunk);
    fileLeaves.push({ cid, tsize, fileBytes });
    sections.push(sectionsOf([{ cid, bytes }]));
  }
  return { sections, ...fileTree(fileLeaves) };
}

/**
 * The batch tree in the layout of go-dagaggregator-unixfs: `@AggregateManifest.ndjson` and two layers of directories
 * over the uploads' roots. Throws `BATCH_EMPTY` without entries. Memory: the tree itself (45 MB for 100,000 entries), and
 * about 500 bytes an entry.
 */
export function buildBatchTree(entries: Iterable<BatchEntry>, description: string): BatchTree {
  checkDescription(description);
  const leaves = normalize(entries);
  if (leaves.length === 0) throw new LadingError('BATCH_EMPTY', 'a batch tree needs at least one upload');
  const directories = buildDirectories(leaves);
  const manifest = buildManifest(leaves, description);
  const root = directoryNode([{ name: MANIFEST_NAME, ...manifest.root }, ...directories.links]);
  const sections = [sectionsOf([root, ...manifest.nodes]), ...directories.sections, ...manifest.sections];
  return {
    root: root.cid,
    sections,
    paths: new Map(leaves.map(({ name, indexes }) => [name, pathOf(indexes)])),
    sectionBytes: sections.reduce((sum, { length }) => sum + length, 0),
  };
}
