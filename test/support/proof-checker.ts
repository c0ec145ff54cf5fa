import { Fr32, Proof } from '@web3-storage/data-segment';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

/** The JSON form of docs/inclusion-proofs.md, as a stranger's program would have it. */
export interface ProofForm {
  pieceCid: string;
  pieceSize: number;
  start: number;
  end: number;
  head: string;
  tail: string;
  left: (string | null)[];
  right: (string | null)[];
}

type Node = Uint8Array;

/** A verifier written on data-segment's Fr32 and node hashing alone, sharing nothing with src. */
export function checkProof(proof: ProofForm, run: Uint8Array): { pieceCid: string; agreeingSubtrees: number } {
  const levels = treeAround(proof, run);
  const root = levels.at(-1)?.get(0);
  if (root === undefined) throw new Error('the proof does not reach the root');
  const agreeingSubtrees = checkSubtrees(proof, levels, root);
  // fil-commitment-unsealed, sha2-256-trunc254-padded.
  return { pieceCid: CID.createV1(0xf101, createDigest(0x1012, root)).toString(), agreeingSubtrees };
}

/** All nodes that run and proof make known, by level and index. */
function treeAround(proof: ProofForm, run: Uint8Array): Map<number, Node>[] {
  const bytes = Buffer.concat([Buffer.from(proof.head, 'hex'), run, Buffer.from(proof.tail, 'hex')]);
  if (bytes.length % 127 !== 0) throw new Error(`head, run and tail have ${bytes.length} bytes, which are no units`);
  if (run.length !== proof.end - proof.start) throw new Error(`the run has ${run.length} bytes`);
  const firstUnit = Math.floor(proof.start / 127);
  if (proof.head.length / 2 !== proof.start - firstUnit * 127) throw new Error('the head does not fill the first unit');
  const leaves = new Map<number, Node>();
  for (let unit = 0; unit < bytes.length / 127; unit += 1) {
    const padded = Fr32.pad(Uint8Array.from(bytes.subarray(unit * 127, unit * 127 + 127)));
    for (let at = 0; at < 4; at += 1) leaves.set((firstUnit + unit) * 4 + at, padded.slice(at * 32, at * 32 + 32));
  }
  const levels = [leaves];
  const height = Math.log2(proof.pieceSize / 32);
  let zero: Node = new Uint8Array(32);
  for (let level = 0; level < height; level += 1) {
    const nodes = levels[level] ?? new Map<number, Node>();
    addSiblings(proof, { level, nodes, zero });
    levels.push(join(nodes));
    zero = Proof.computeNode(zero, zero);
  }
  return levels;
}

function addSiblings(
  proof: ProofForm,
  { level, nodes, zero }: { level: number; nodes: Map<number, Node>; zero: Node },
) {
  const first = Math.min(...nodes.keys());
  const last = Math.max(...nodes.keys());
  const left = proof.left[level];
  const right = proof.right[level];
  if ((first % 2 === 1) !== (typeof left === 'string')) throw new Error(`left of level ${level}`);
  if (last % 2 === 1 && typeof right === 'string') throw new Error(`right of level ${level}`);
  if (last % 2 === 0 && right === null) throw new Error(`right of level ${level} is null`);
  if (first % 2 === 1) nodes.set(first - 1, Uint8Array.from(Buffer.from(left ?? '', 'hex')));
  if (last % 2 === 0) nodes.set(last + 1, right == null ? zero : Uint8Array.from(Buffer.from(right, 'hex')));
}

function join(nodes: Map<number, Node>): Map<number, Node> {
  const joined = new Map<number, Node>();
  for (const [index, node] of nodes) {
    if (index % 2 === 1) continue;
    const right = nodes.get(index + 1);
    if (right === undefined) throw new Error(`node ${index} has no neighbour`);
    joined.set(index / 2, Proof.computeNode(node, right));
  }
  return joined;
}

/** Each full aligned subtree that run and proof give is one of FRC-0058: data-segment comes to the same root. */
function checkSubtrees(proof: ProofForm, levels: Map<number, Node>[], root: Node): number {
  const fullFrom = Math.ceil(proof.start / 127);
  const fullTo = Math.floor(proof.end / 127);
  let count = 0;
  for (const [level, nodes] of levels.entries()) {
    for (const [index, node] of nodes) {
      const units = 2 ** (level - 2);
      if (level < 2 || index * units < fullFrom || (index + 1) * units > fullTo) continue;
      const path = levels.slice(level, -1).map((above, up) => above.get(Math.floor(index / 2 ** up) ^ 1));
      const resolved = Proof.resolveRoot([BigInt(index), path.map((one) => one ?? new Uint8Array(0))], node);
      if (resolved.error !== undefined) throw resolved.error;
      if (Buffer.compare(resolved.ok, root) !== 0) throw new Error(`subtree ${index} of level ${level} differs`);
      count += 1;
    }
  }
  return count;
}
