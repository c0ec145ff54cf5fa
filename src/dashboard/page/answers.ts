/** What the API answers, as far as pages show it. The words are those of the OpenAPI document at /docs. */

export interface DealAnswer {
  status: 'queued' | 'active' | 'terminated';
  stage: string;
  lastChanged: string;
  chainDealID: number | null;
  datamodelSelector: string | null;
  statusText: string;
  dealActivation: string;
  dealExpiration: string;
  miner: string;
  pieceCid: string;
  batchRootCid: string;
}

export interface ListedDeal extends DealAnswer {
  id: string;
  aggregateId: string;
  slot: number;
  generation: number;
  attempts: number;
  proposalCid: string;
  created: string;
  reasonCode: string | null;
}

export interface Eta {
  p50: string | null;
  p95: string | null;
}

export interface QueueingAnswer {
  reason: string;
  position: number | null;
  aggregateFill: number | null;
  sealsBy: string | null;
  etaActive: Eta;
  parts?: { placed: number; total: number };
  missing?: { count: number; first: string };
  failure?: string;
  lastRefusal?: { miner: string; text: string; at: string };
  why?: { code: string; providers: number; text: string }[];
}

export interface UploadAnswer {
  cid: string;
  state: string;
  changed: string;
  owners: string[];
  pin: { cid: string; created: string; size: number; status: string };
  deals: DealAnswer[];
  queueing?: QueueingAnswer;
  etaActive?: Eta;
  asOf?: string;
  degraded?: string[];
}

export interface HistoryAnswer {
  seen: string;
  subject: 'upload' | 'aggregate' | 'deal';
  id: string | null;
  from: string | null;
  to: string;
  reasonCode: string | null;
  detail: string | null;
  epoch: number | null;
  tipset: string[] | null;
  messageCid: string | null;
  node: string | null;
  evidence: unknown;
}

export interface ListedAggregate {
  id: string;
  state: 'open' | 'sealing' | 'sealed';
  pieceCid: string | null;
  pieceSize: number | null;
  carSize: number | null;
  batchRootCid: string | null;
  entryCount: number;
  length: number;
  filler: number;
  capacity: number;
  sealReason: string | null;
  opened: string;
  oldestAccepted: string | null;
  sealed: string | null;
  released: string | null;
  replicas: { wanted: number; live: number; active: number } | null;
}

export interface ChoiceAnswer {
  at: string;
  policyVersion: number;
  chosen: { slot: number; generation: number; renews?: string; provider: string; score: number; reasons: string[] }[];
  refused: { provider: string; code: string; reason: string }[];
}

export interface ProviderAnswer {
  id: string;
  state: string;
  addressSource: string;
  peerId: string | null;
  multiaddrs: string[];
  sectorSize: number | null;
  owner: string | null;
  added: string;
  resolved: string | null;
  resolveError: string | null;
  retryAt: string | null;
  failures: number;
  org: string | null;
  region: string | null;
  agent: string | null;
  seen: string | null;
  transport: string | null;
  transportSeen: string | null;
  ask: { price: string; verifiedPrice: string; minPieceSize: number; maxPieceSize: number; asked: string } | null;
  standing: {
    score: number;
    sureShare: number;
    freshness: number;
    proven: boolean;
    successes: number;
    failures: number;
    lastOutcome: string | null;
    epochsBeforeStart: number | null;
    inFlight: number;
    proposalsLastHour: number;
    refused: { code: string; reason: string } | null;
  };
}
