import { canonicalCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { foldRun } from '../filecoin/inclusion-path.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { pieceCidV1 } from '../filecoin/piece.ts';
import { portableHashing, type Hashing } from './hash-portably.ts';
import { indexCar, type CarIndex } from './index-car.ts';
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
  if (found !== pieceCid) {
    const order = proof.blocks === undefined ? ' (in the order of this CAR, for the proof lists none)' : '';
    return notVerified('PIECE_DIFFERS', `blocks${order} and proof make ${found}, not the piece ${pieceCid}`);
  }
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
  /** The first of these, by their CIDs in the CAR. */
  firstUncovered?: string[];
}

export interface UploadInput {
  car: CarSource;
  /** All of the upload: one, unless it was cut into parts or lies in several aggregates. */
  proofs: readonly InclusionProof[];
  hashing?: Hashing;
}

/**
 * Checks a CAR against its proofs: each is laid out from the CAR's blocks, in the order that the proof lists, or in that of
 * the CAR if it lists none. Reads the CAR once for an index of its blocks if there are lists, then for each proof what it
 * covers. Throws FormatError CAR_* when the CAR cannot be read.
 */
export async function verifyUpload({
  car,
  proofs,
  hashing = portableHashing,
}: UploadInput): Promise<UploadVerification> {
  const file = await readCarFile(car);
  const root = rootOf(file);
  const index = proofs.some(({ blocks }) => blocks !== undefined) ? await indexCar(car) : undefined;
  const results: (Inclusion | NotVerified)[] = [];
  for (const proof of proofs) {
    results.push(
      proof.root === root
        ? await verifyFrom({ file, index, proof, hashing })
        : notVerified('ANOTHER_UPLOAD', `the proof is for ${proof.root}, the CAR has the root ${root}`),
    );
  }
  const uncovered = findUncovered(proofs, results, index);
  const verified = results.length > 0 && results.every((result) => result.verified) && uncovered?.count === 0;
  const names = uncovered === null || uncovered.count === 0 ? {} : { firstUncovered: uncovered.first };
  return { verified, root, proofs: results, uncoveredBlocks: uncovered?.count ?? null, ...names };
}

interface FileProof {
  file: CarFile;
  index: CarIndex | undefined;
  proof: InclusionProof;
  hashing: Hashing;
}

async function verifyFrom({ file, index, proof, hashing }: FileProof): Promise<Inclusion | NotVerified> {
  const { blocks: list } = proof;
  if (list === undefined || index === undefined) return verifyInclusion({ blocks: file.blocks(), proof, hashing });
  const found = await verifyInclusion({ blocks: index.blocksOf(list), proof, hashing });
  // What the run does not have was not read.
  return found.verified ? { ...found, otherBlocks: index.besides([list]).count } : found;
}

/** An upload is one root: its CAR names it. */
function rootOf({ roots }: CarFile): string {
  const [root] = roots;
  if (root === undefined)
    throw new FormatError('CAR_NO_ROOT', 'the CAR names no root, so it is not clear what it is of');
  return canonicalCid(root);
}

/** A cut upload: together its parts have what none has alone. Null when nothing is proven. */
function findUncovered(
  proofs: readonly InclusionProof[],
  results: readonly (Inclusion | NotVerified)[],
  index: CarIndex | undefined,
): { count: number; first: string[] } | null {
  if (results.some((result) => result.verified && result.otherBlocks === 0)) return { count: 0, first: [] };
  const held = proofs.filter((_, at) => results[at]?.verified);
  return held.length === 0 || index === undefined ? null : index.besides(held.map(({ blocks = [] }) => blocks));
}

function notVerified(code: string, reason: string): NotVerified {
  return { verified: false, code, reason };
}
