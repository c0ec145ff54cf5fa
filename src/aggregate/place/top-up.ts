import { pieceCapacity } from '../../filecoin/piece.ts';
import { batchTreeReserve } from '../seal/batch-tree-reserve.ts';
import type { OpenAggregate } from './placement-rules.ts';

/** A whole run that a sealed aggregate holds. Bytes. */
export interface TopUpCandidate {
  uploadId: bigint;
  root: string;
  runBytes: bigint;
  /** Live deals of all aggregates that hold it. */
  replicas: number;
  /** The sealed aggregate where it was found. */
  aggregateId: bigint;
}

export interface TopUp {
  runs: TopUpCandidate[];
  fillerBytes: bigint;
  /** False: no whole section of filler had room, so that the piece stays smaller. */
  isReached: boolean;
}

export interface TopUpRules {
  minPieceBytes: bigint;
  fillerSectionBytes: number;
}

/**
 * CAR bytes that are missing for a piece of the smallest size; 0 if there are enough. The batch tree, of which only an
 * upper bound is known yet, is counted as nothing: whatever its size, the natural size is reached.
 */
export function missingBytes({ lengthBytes }: Pick<OpenAggregate, 'lengthBytes'>, minPieceBytes: bigint): bigint {
  // The smallest CAR of a piece is a byte more than what half of it holds.
  const wanted = minPieceBytes <= 128n ? 0n : pieceCapacity(minPieceBytes / 2n) + 1n;
  return lengthBytes >= wanted ? 0n : wanted - lengthBytes;
}

/** What an aggregate's CAR may have at most before its tree, with so many entries. */
function ceilingBytes(limit: bigint, entryCount: number): bigint {
  return limit - BigInt(batchTreeReserve(entryCount));
}

/**
 * Pure: brings an aggregate that is about to be sealed to the smallest piece size: first by runs that others hold, the
 * least replicated first, then by filler. Never over its capacity, counting the tree at its upper bound; and no run
 * makes the piece larger than the smallest size.
 */
export function planTopUp(
  aggregate: OpenAggregate,
  candidates: readonly TopUpCandidate[],
  { minPieceBytes, fillerSectionBytes }: TopUpRules,
): TopUp {
  const limit = smaller(aggregate.capacityBytes, pieceCapacity(minPieceBytes));
  const runs: TopUpCandidate[] = [];
  const taken = new Set<bigint>();
  let { lengthBytes } = aggregate;
  if (pieceCapacity(minPieceBytes / 2n) >= aggregate.capacityBytes) return { runs, fillerBytes: 0n, isReached: false };
  for (const candidate of candidates.toSorted(byNeed)) {
    if (missingBytes({ lengthBytes }, minPieceBytes) === 0n) break;
    const grown = lengthBytes + candidate.runBytes;
    if (taken.has(candidate.uploadId) || grown > ceilingBytes(limit, aggregate.entryCount + runs.length + 1)) continue;
    taken.add(candidate.uploadId);
    runs.push(candidate);
    lengthBytes = grown;
  }
  const section = BigInt(fillerSectionBytes);
  const fillerBytes = ((missingBytes({ lengthBytes }, minPieceBytes) + section - 1n) / section) * section;
  const fits = lengthBytes + fillerBytes <= ceilingBytes(aggregate.capacityBytes, aggregate.entryCount + runs.length);
  return fits || fillerBytes === 0n
    ? { runs, fillerBytes, isReached: true }
    : { runs, fillerBytes: 0n, isReached: false };
}

function byNeed(a: TopUpCandidate, b: TopUpCandidate): number {
  return a.replicas - b.replicas || Number(a.aggregateId - b.aggregateId) || Number(a.uploadId - b.uploadId);
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
