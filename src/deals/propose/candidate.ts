import type { Provider } from '../providers/provider-store.ts';

/** What is on its way to a provider. */
export interface Load {
  /** Padded bytes of proposals that it may take and has not published yet. */
  inFlightBytes: bigint;
  proposalsLastHour: number;
}

/** What became of the deals proposed to a provider, as far as it had a hand in it. */
export interface Evidence {
  /** Deals that became active. */
  successes: number;
  failures: number;
  lastOutcomeAt: Date | undefined;
  /** How many epochs before its start a deal was active, on average: more is quicker. */
  activeEpochsBeforeStart: number | undefined;
}

/** A registered provider with all that choosing looks at. */
export type Candidate = Pick<
  Provider,
  | 'id'
  | 'state'
  | 'peerId'
  | 'multiaddrs'
  | 'sectorBytes'
  | 'ownerId'
  | 'resolveError'
  | 'retryAt'
  | 'org'
  | 'region'
  | 'ask'
> &
  Load &
  Evidence;

export const noEvidence: Evidence = {
  successes: 0,
  failures: 0,
  lastOutcomeAt: undefined,
  activeEpochsBeforeStart: undefined,
};

/** What an org cap counts by: an operator's label, else the owner on chain, else the provider itself. */
export function orgOf({ org, ownerId, id }: Pick<Candidate, 'org' | 'ownerId' | 'id'>): string {
  return org ?? ownerId ?? id;
}

/** What a region cap counts by. Providers that nobody placed count as one region, so that no cap is passed unseen. */
export function regionOf({ region }: Pick<Candidate, 'region'>): string {
  return region ?? '';
}
