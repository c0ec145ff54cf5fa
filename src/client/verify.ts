import { canonicalCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { foldRun } from '../filecoin/inclusion-path.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { pieceCidV1 } from '../filecoin/piece.ts';
import { portableHashing, type Hashing } from './hash-portably.ts';
import { layOutRun, type LaidOut } from './lay-out-run.ts';
import { readCarFile, type CarBlock, type CarFile, type CarSource } from './read-car.ts';

/** Why something is not proven. */
export interface NotVerified {
  verified: false;
  code: string;
  reason: string;
}

/** That these blocks lie in this piece, byte for byte. What it does not say: that a deal holds the piece. */
export interface Inclusion {
  verified: true;
  pieceCid: string;
  pieceSize: number;
  root: string;
  /** Place of the blocks' sections in the piece's CAR, `end` exclusive. */
  start: number;
  end: number;
  blockCount: number;
  /** Blocks that were given and that this proof says nothing of. */
  otherBlocks: number;
}

export interface InclusionInput {
  /** The upload's blocks; in the order of its CAR unless the proof lists its blocks. */
  blocks: AsyncIterable<CarBlock> | Iterable<CarBlock>;
  proof: InclusionProof;
  hashing?: Hashing;
}

/**
 * Checks offline that the blocks hash to their CIDs, that the upload's root is among them, and that they and the proof
 * fold to the piece CID. Memory: a block, or with a proof that lists its blocks those that come too early.
 */
export async function verifyInclusion(input: InclusionInput): Promise<Inclusion | NotVerified> {
  try {
    return await includedRun(input);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return notVerified(error.code, error.message);
  }
}

async function includedRun({ blocks, proof, hashing = portableHashing }: InclusionInput) {
  const { pieceCid, pieceSize, root, start, end } = proof;
  const fold = foldRun(proof, hashing.hashPairs);
  const laidOut = await layOutRun({
    blocks: verifiedBlocks(blocks, hashing),
    root,
    order: proof.blocks,
    write: (bytes) => fold.update(bytes),
  });
  const found = pieceCidV1(fold.root()).toString();
  if (found !== pieceCid)
    return notVerified('PIECE_DIFFERS', `blocks and proof make ${found}, not the piece ${pieceCid}`);
  if (!laidOut.hasRoot) return notVerified('ROOT_MISSING', `the upload's root ${root} is not among the proven blocks`);
  const { blockCount, otherBlocks }: LaidOut = laidOut;
  return { verified: true as const, pieceCid, pieceSize, root, start, end, blockCount, otherBlocks };
}

async function* verifiedBlocks(blocks: InclusionInput['blocks'], hashing: Hashing): AsyncGenerator<CarBlock> {
  for await (const block of blocks) {
    hashing.verifyBlock(block.cid, block.bytes);
    yield block;
  }
}

/** What the proofs of an upload say of a whole CAR. */
export interface UploadVerification {
  /** Every proof holds, and together they cover every block of the CAR. */
  verified: boolean;
  root: string;
  /** One for each proof, in order. */
  proofs: (Inclusion | NotVerified)[];
  /** Blocks of the CAR that no proof covers; null when none of the proofs holds. */
  uncoveredBlocks: number | null;
}

export interface UploadInput {
  car: CarSource;
  /** All of the upload: one, unless it was cut into parts or lies in several aggregates. */
  proofs: readonly InclusionProof[];
  hashing?: Hashing;
}

/** Checks a CAR against its proofs, reading it once for each. Throws FormatError CAR_* when the CAR cannot be read. */
export async function verifyUpload({
  car,
  proofs,
  hashing = portableHashing,
}: UploadInput): Promise<UploadVerification> {
  const file = await readCarFile(car);
  const root = rootOf(file);
  const results: (Inclusion | NotVerified)[] = [];
  for (const proof of proofs) {
    results.push(
      proof.root === root
        ? await verifyInclusion({ blocks: file.blocks(), proof, hashing })
        : notVerified('ANOTHER_UPLOAD', `the proof is for ${proof.root}, the CAR has the root ${root}`),
    );
  }
  const held = proofs.filter((_, at) => results[at]?.verified);
  const whole = results.some((result) => result.verified && result.otherBlocks === 0);
  const uncoveredBlocks = whole ? 0 : held.length === 0 ? null : await countUncovered(file, held);
  const verified = results.length > 0 && results.every((result) => result.verified) && uncoveredBlocks === 0;
  return { verified, root, proofs: results, uncoveredBlocks };
}

/** An upload is one root: its CAR names it. */
function rootOf({ roots }: CarFile): string {
  const [root] = roots;
  if (root === undefined)
    throw new FormatError('CAR_NO_ROOT', 'the CAR names no root, so it is not clear what it is of');
  return canonicalCid(root);
}

/** A cut upload: together its parts have what none has alone. */
async function countUncovered(file: CarFile, held: readonly InclusionProof[]): Promise<number> {
  const covered = new Set(held.flatMap(({ blocks = [] }) => blocks));
  const seen = new Set<string>();
  for await (const { cid } of file.blocks()) {
    if (!covered.has(cid.toString()) && !covered.has(canonicalCid(cid))) seen.add(canonicalCid(cid));
  }
  return seen.size;
}

function notVerified(code: string, reason: string): NotVerified {
  return { verified: false, code, reason };
}
