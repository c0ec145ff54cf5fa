import * as dagCbor from '@ipld/dag-cbor';
import * as dagPb from '@ipld/dag-pb';
import * as fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { asV0, cborNode, pbNode, rawBlock, type Block } from '../../support/car-builder.ts';

/** One name for both versions of a CID. */
export function nameOf(cid: CID): string {
  return cid.toV1().toString();
}

/** A recipe of a DAG: each node takes children among those before it; what nobody takes hangs below the root. */
interface NodeRecipe {
  kind: 'raw' | 'pb' | 'pb0' | 'cbor';
  bytes: number;
  children: readonly number[];
  /** Links to an identity CID that carries a link to a child. */
  byIdentity: boolean;
}

const nodeRecipe: fc.Arbitrary<NodeRecipe> = fc.record({
  kind: fc.constantFrom('raw' as const, 'raw' as const, 'raw' as const, 'pb' as const, 'pb0' as const, 'cbor' as const),
  bytes: fc.integer({ min: 0, max: 300 }),
  children: fc.array(fc.nat(), { maxLength: 5 }),
  byIdentity: fc.boolean(),
});

type Order = 'depth-first' | 'breadth-first' | 'leaves-first' | 'shuffled';

export interface RandomUpload {
  root: CID;
  /** In stored order, each once. */
  blocks: Block[];
  order: Order;
  /** Places in the run, in blocks, where a new stored part begins. */
  splits: number[];
}

function identityOf(link: CID): CID {
  const bytes = dagCbor.encode([link]);
  return CID.createV1(dagCbor.code, createDigest(0, bytes));
}

function makeNode(recipe: NodeRecipe, at: number, before: readonly Block[]): Block {
  const children = before.length === 0 ? [] : recipe.children.map((one) => before[one % before.length] ?? rawBlock(''));
  const content = Buffer.alloc(recipe.bytes, at);
  switch (recipe.kind) {
    case 'raw':
      return rawBlock(Buffer.concat([Buffer.from(`${at} `), content]));
    case 'pb':
      return pbNode([...children, rawBlock(`${at}`)].slice(0, -1));
    case 'pb0':
      return asV0(pbNode(children.filter(({ cid }) => cid.multihash.code === 0x12)));
    case 'cbor': {
      const links = children.map(({ cid }) => (recipe.byIdentity ? identityOf(cid) : cid));
      return cborNode({ at, content: new Uint8Array(content), links });
    }
    default:
      return recipe.kind;
  }
}

function buildDag(recipes: readonly NodeRecipe[]): { root: Block; blocks: Block[] } {
  const blocks = new Map<string, Block>();
  const taken = new Set<string>();
  const made: Block[] = [];
  for (const [at, recipe] of recipes.entries()) {
    const node = makeNode(recipe, at, made);
    made.push(node);
    if (!blocks.has(nameOf(node.cid))) blocks.set(nameOf(node.cid), node);
    for (const link of linksOf(node)) taken.add(nameOf(link));
  }
  const loose = [...blocks.values()].filter(({ cid }) => !taken.has(nameOf(cid)));
  const root = cborNode({ root: true, links: loose.map(({ cid }) => cid) });
  blocks.set(nameOf(root.cid), root);
  return { root, blocks: [...blocks.values()] };
}

/** By the reference codecs, apart from src. */
export function linksOf({ cid, bytes }: Block): CID[] {
  if (cid.code === 0x55) return [];
  const found: CID[] = [];
  const visit = (value: unknown): void => {
    const link = CID.asCID(value);
    if (link?.multihash.code === 0) visit(dagCbor.decode(link.multihash.digest));
    else if (link) found.push(link);
    else if (value && typeof value === 'object' && !(value instanceof Uint8Array)) Object.values(value).forEach(visit);
  };
  visit(cid.code === 0x70 ? dagPb.decode(bytes).Links.map(({ Hash }) => Hash) : dagCbor.decode(bytes));
  return found;
}

function inOrder(root: Block, blocks: readonly Block[], order: Order, seed: number): Block[] {
  const byName = new Map(blocks.map((block) => [nameOf(block.cid), block]));
  const seen = new Set<string>();
  const found: Block[] = [];
  const due = [root];
  while (due.length > 0) {
    const block = order === 'breadth-first' ? due.shift() : due.pop();
    if (block === undefined || seen.has(nameOf(block.cid))) continue;
    seen.add(nameOf(block.cid));
    found.push(block);
    const children = linksOf(block).flatMap((link) => byName.get(nameOf(link)) ?? []);
    due.push(...(order === 'breadth-first' ? children : children.toReversed()));
  }
  if (order === 'leaves-first') return found.toReversed();
  if (order === 'shuffled') return found.toSorted((a, b) => weight(a, seed) - weight(b, seed));
  return found;
}

function weight({ cid }: Block, seed: number): number {
  const { digest } = cid.multihash;
  return ((digest[0] ?? 0) * 256 + (digest[1] ?? 0)) ^ (seed & 0xffff);
}

export const randomUpload: fc.Arbitrary<RandomUpload> = fc
  .record({
    recipes: fc.array(nodeRecipe, { minLength: 1, maxLength: 60 }),
    order: fc.constantFrom<Order>('depth-first', 'breadth-first', 'leaves-first', 'shuffled'),
    seed: fc.nat(),
    splits: fc.array(fc.nat(), { maxLength: 4 }),
  })
  .map(({ recipes, order, seed, splits }) => {
    const { root, blocks } = buildDag(recipes);
    const ordered = inOrder(root, blocks, order, seed);
    return {
      root: root.cid,
      blocks: ordered,
      order,
      splits: [...new Set(splits.map((one) => one % ordered.length))]
        .filter((one) => one > 0)
        .toSorted((a, b) => a - b),
    };
  });
