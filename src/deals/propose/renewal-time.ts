import { mix } from './rank.ts';

/** Renewals of deals that end on one day are spread over this part of the time before, so that no day has them all. */
const SPREAD_PART = 3;
/** What `mix` gives is below this. */
const MIX_RANGE = 2 ** 32;

interface Ending {
  aggregateId: bigint;
  slot: number;
  endEpoch: number;
}

/**
 * From which epoch on the slot of a running deal gets its next generation: up to a third of `renewBeforeEpochs` later
 * than that long before the end, always the same for the same slot and end.
 */
export function renewalEpoch({ aggregateId, slot, endEpoch }: Ending, renewBeforeEpochs: number): number {
  const share = mix(Number(BigInt.asIntN(32, aggregateId)), slot) / MIX_RANGE;
  return endEpoch - renewBeforeEpochs + Math.floor((share * renewBeforeEpochs) / SPREAD_PART);
}
