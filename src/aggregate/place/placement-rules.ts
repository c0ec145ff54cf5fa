import { batchTreeReserve, MAX_ROOT_CHARS } from '../seal/batch-tree-reserve.ts';

/** Bytes of a CARv1 header with one dag-pb root of sha2-256: where the first run begins. */
export const CAR_HEADER_BYTES = 59;

/** When aggregates close; the parsed configuration has this shape. Piece sizes are padded, fills are CAR bytes. */
export interface SealRules {
  pieceBytes: bigint;
  /** For topping up forced aggregates. */
  minPieceBytes: bigint;
  minFillBytes: bigint;
  maxAgeMs: number;
  forceAgeMs: number;
  openAggregates: number;
}

export type SealReason = 'full' | 'age' | 'force_age' | 'operator';

/** An aggregate that still takes uploads. `lengthBytes` counts header and runs, without the tree to come. */
export interface OpenAggregate {
  id: bigint;
  capacityBytes: bigint;
  lengthBytes: bigint;
  entryCount: number;
  oldestAcceptedAt: Date | undefined;
  /** Tells of a root that a directory of the batch tree has no room for (crowded-directories.ts); undefined: of none. */
  isCrowded?: ((root: string) => boolean) | undefined;
}

/** A complete upload that no aggregate holds yet. */
export interface WaitingUpload {
  id: bigint;
  root: string;
  runBytes: bigint;
  acceptedAt: Date;
  /** The part of the upload that this run is; undefined: all of it. */
  cut?: WaitingCut | undefined;
}

/** A part of an upload that no aggregate could hold whole. Parts go one by one, each into an aggregate of its own. */
export interface WaitingCut {
  number: number;
  isLast: boolean;
  /** Bytes of the largest cut of the upload. */
  largestBytes: bigint;
  /** Aggregates that hold other parts of the upload. */
  heldBy: ReadonlySet<bigint>;
}

export type PlacementStep =
  | { kind: 'into'; aggregate: OpenAggregate }
  | { kind: 'open-new' }
  | { kind: 'seal-first'; aggregate: OpenAggregate }
  /** Every place for an open aggregate is taken by one that is not full enough to seal: the upload keeps its turn. */
  | { kind: 'wait' }
  /** No aggregate of this piece size can hold it whole. */
  | { kind: 'too-large' }
  /** No aggregate can list it: its root is longer than what the reserve of the tree counts with. */
  | { kind: 'unplaceable' };

/** An aggregate that cannot take the next upload is full from here on; below, a smaller upload may still fill it. */
const FULL_PERCENT = 94n;
/** The smallest run there is: one section of an empty block under a CIDv1 of sha2-256. */
const MIN_RUN_BYTES = 37n;

/** Bytes that the next run may have at most, once the tree over all entries is reserved; negative if none fits. */
export function roomBytes({ capacityBytes, lengthBytes, entryCount }: OpenAggregate): bigint {
  return capacityBytes - lengthBytes - BigInt(batchTreeReserve(entryCount + 1));
}

/** The same of an aggregate that is yet to be opened. */
export function emptyRoomBytes(capacityBytes: bigint): bigint {
  return roomBytes({
    id: 0n,
    capacityBytes,
    lengthBytes: BigInt(CAR_HEADER_BYTES),
    entryCount: 0,
    oldestAcceptedAt: undefined,
  });
}

/** Capacity in CAR bytes of a piece: 127 of each 128 padded bytes. */
function capacityOf(rules: SealRules): bigint {
  return (rules.pieceBytes / 128n) * 127n;
}

/** What is taken, the reserve of the tree included. */
function takenBytes({ lengthBytes, entryCount }: OpenAggregate): bigint {
  return lengthBytes + BigInt(batchTreeReserve(entryCount));
}

function isFullEnough(aggregate: OpenAggregate): boolean {
  return aggregate.entryCount > 0 && takenBytes(aggregate) * 100n >= aggregate.capacityBytes * FULL_PERCENT;
}

function fits(upload: WaitingUpload, aggregate: OpenAggregate): boolean {
  if (aggregate.isCrowded?.(upload.root) === true) return false;
  return upload.runBytes <= roomBytes(aggregate) && upload.cut?.heldBy.has(aggregate.id) !== true;
}

/** A piece size that became smaller leaves no room for some of the cuts; none of them has a place yet. */
function areToBeCutAnew({ heldBy, largestBytes }: WaitingCut, rules: SealRules): boolean {
  return heldBy.size === 0 && largestBytes > emptyRoomBytes(capacityOf(rules));
}

/**
 * Where the oldest waiting upload goes. `openAggregates` are all that are open, oldest first: the first that has room
 * takes it. None has room: a full one is sealed, else a new one opens while places are left.
 */
export function placeUpload(
  upload: WaitingUpload,
  openAggregates: readonly OpenAggregate[],
  rules: SealRules,
): PlacementStep {
  if (upload.root.length > MAX_ROOT_CHARS) return { kind: 'unplaceable' };
  if (upload.cut !== undefined && areToBeCutAnew(upload.cut, rules)) return { kind: 'too-large' };
  const roomy = openAggregates.find((aggregate) => fits(upload, aggregate));
  if (roomy !== undefined) return { kind: 'into', aggregate: roomy };
  if (upload.runBytes > emptyRoomBytes(capacityOf(rules))) return { kind: 'too-large' };
  const full = openAggregates.find(isFullEnough);
  if (full !== undefined) return { kind: 'seal-first', aggregate: full };
  return openAggregates.length < rules.openAggregates ? { kind: 'open-new' } : { kind: 'wait' };
}

/** The largest run worth asking the database for; undefined when a new aggregate could open and so any may be placed. */
export function largestPlaceable(openAggregates: readonly OpenAggregate[], rules: SealRules): bigint | undefined {
  if (openAggregates.length < rules.openAggregates || openAggregates.some(isFullEnough)) return undefined;
  return openAggregates.map(roomBytes).reduce((most, room) => (room > most ? room : most), 0n);
}

/** Why an aggregate is due by itself, whatever waits. A full one that could take a smaller upload is not due yet. */
export function sealReason(
  aggregate: OpenAggregate,
  rules: SealRules,
  now: Date,
): Exclude<SealReason, 'operator'> | undefined {
  const oldest = aggregate.oldestAcceptedAt;
  if (aggregate.entryCount === 0 || oldest === undefined) return undefined;
  if (roomBytes(aggregate) < MIN_RUN_BYTES) return 'full';
  const ageMs = now.getTime() - oldest.getTime();
  if (ageMs >= rules.maxAgeMs && aggregate.lengthBytes >= rules.minFillBytes) return 'age';
  return ageMs >= rules.forceAgeMs ? 'force_age' : undefined;
}

/** When age makes an aggregate due if nothing is added to it; undefined while it is empty. */
export function nextSealTime(aggregate: OpenAggregate, rules: SealRules): Date | undefined {
  const oldest = aggregate.oldestAcceptedAt;
  if (oldest === undefined) return undefined;
  const waitMs = aggregate.lengthBytes >= rules.minFillBytes ? rules.maxAgeMs : rules.forceAgeMs;
  return new Date(oldest.getTime() + Math.min(waitMs, rules.forceAgeMs));
}

/** An aggregate after one more run. Age counts from the acceptance of its oldest upload, however late it was placed. */
export function withUpload(aggregate: OpenAggregate, upload: WaitingUpload): OpenAggregate {
  const { oldestAcceptedAt: oldest } = aggregate;
  return {
    ...aggregate,
    lengthBytes: aggregate.lengthBytes + upload.runBytes,
    entryCount: aggregate.entryCount + 1,
    oldestAcceptedAt: oldest !== undefined && oldest <= upload.acceptedAt ? oldest : upload.acceptedAt,
  };
}

/** An aggregate as it opens, with its header alone. */
export function emptyAggregate(id: bigint, rules: SealRules): OpenAggregate {
  return {
    id,
    capacityBytes: capacityOf(rules),
    lengthBytes: BigInt(CAR_HEADER_BYTES),
    entryCount: 0,
    oldestAcceptedAt: undefined,
  };
}
