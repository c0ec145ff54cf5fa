/** What the service says of an upload. Times are ISO 8601 with `+00:00`. */
export interface UploadStatus {
  /** As it was asked for. */
  cid: string;
  pin: Pin;
  /** Empty while the upload waits for its aggregate or a provider: `queueing` says why. */
  deals: Deal[];
  queueing?: Queueing;
  /** Beside deals none of which is active yet; without deals it stands in `queueing`. */
  etaActive?: EtaActive;
  /** Only when something is wrong with the service's view of the chain: since when nothing newer is known, and what. */
  asOf?: string;
  degraded?: string[];
}

export interface Pin {
  cid: string;
  created: string;
  /** Bytes of the DAG; 0 while it is not complete. */
  size: number;
  status: 'queued' | 'pinning' | 'pinned' | 'failed';
}

export interface Deal {
  status: 'queued' | 'active' | 'terminated';
  /** Finer than `status`: signed, sent, accepted, published, active, expired, slashed, missed. */
  stage: string;
  /** The last real change. */
  lastChanged: string;
  /** Null until it is published. */
  chainDealID: number | null;
  /** From `batchRootCid` to the upload's root. */
  datamodelSelector: string | null;
  /** In words: what it awaits, since when it is active, why it ended. */
  statusText: string;
  dealActivation: string;
  dealExpiration: string;
  miner: string;
  pieceCid: string;
  batchRootCid: string;
}

/** When the first deal will be active: half of those alike were sooner than p50, 95 of 100 than p95. Null: nobody knows. */
export interface EtaActive {
  p50: string | null;
  p95: string | null;
}

export interface Queueing {
  /** A code, such as `aggregate_filling` or `waiting_for_provider`. */
  reason: string;
  position: number | null;
  /** Share of the aggregate that is taken, 0 to 1. */
  aggregateFill: number | null;
  sealsBy: string | null;
  etaActive: EtaActive;
  /** Of an upload that was cut: how many parts lie in an aggregate. */
  parts?: { placed: number; total: number };
  /** Blocks that did not arrive yet. */
  missing?: { count: number; first: string };
  failure?: string;
  lastRefusal?: { miner: string; text: string; at: string };
  /** For what nobody is asked to store it: of how many providers that holds, the most first. */
  why?: { code: string; providers: number; text: string }[];
}
