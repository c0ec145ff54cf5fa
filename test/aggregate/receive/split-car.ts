import type { CID } from 'multiformats/cid';
import { car, cborNode, rawBlock, section, type Block } from '../../support/car-builder.ts';

/** A DAG of blocks by hand: what a node links to is known without decoding it. */
export interface Tree {
  block: Block;
  children: Tree[];
}

/** `fan` children a node, `depth` levels of nodes above the leaves; every `repeatEvery`th leaf is the same one. */
export function treeOf(seed: string, fan: number, depth: number, repeatEvery = 0): Tree {
  let leaves = 0;
  const grow = (level: number, path: string): Tree => {
    if (level === 0) {
      leaves += 1;
      const same = repeatEvery > 0 && leaves % repeatEvery === 0;
      return { block: rawBlock(same ? `${seed} the same leaf` : `${seed} leaf ${path}`), children: [] };
    }
    const children = Array.from({ length: fan }, (_, at) => grow(level - 1, `${path}/${at}`));
    return { block: cborNode({ path, to: children.map((child) => child.block.cid) }), children };
  };
  return grow(depth, seed);
}

/** All blocks, each once, in the order of a walk. */
export function blocksOf(tree: Tree): Block[] {
  const seen = new Map<string, Block>();
  const visit = ({ block, children }: Tree): void => {
    seen.set(block.cid.toString(), block);
    children.forEach(visit);
  };
  visit(tree);
  return [...seen.values()];
}

/**
 * Splits as nft.storage's client does (npm carbites, its treewalk splitter): a walk of the DAG; a part that is full is
 * closed, and the next begins with the root and all ancestors of what follows. A block linked twice is sent twice.
 */
export function splitByWalk(tree: Tree, targetBytes: number): { root: CID; parts: Buffer[]; blocks: Block[][] } {
  const root = tree.block.cid;
  const parts: Block[][] = [];
  let part: Block[] = [];
  let bytes = 0;
  const put = (block: Block) => {
    part.push(block);
    bytes += section(block).length;
  };
  const visit = ({ children }: Tree, ancestors: Block[]): void => {
    for (const child of children) {
      if (bytes + section(child.block).length > targetBytes) {
        parts.push(part);
        part = [];
        bytes = 0;
        ancestors.forEach(put);
      }
      put(child.block);
      visit(child, [...ancestors, child.block]);
    }
  };
  put(tree.block);
  visit(tree, [tree.block]);
  parts.push(part);
  return { root, parts: parts.map((blocks) => car([root], blocks)), blocks: parts };
}

/** The sections of a run, as hex. By hand: each is a minimal varint and that many bytes. */
export function sectionsOf(run: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < run.length; ) {
    let length = 0;
    let head = 0;
    do length += ((run[at + head] ?? 0) & 0x7f) * 128 ** head;
    while (((run[at + head++] ?? 0) & 0x80) !== 0);
    found.push(run.subarray(at, at + head + length).toString('hex'));
    at += head + length;
  }
  return found;
}
