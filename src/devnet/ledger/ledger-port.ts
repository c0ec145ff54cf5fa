import type { CID } from 'multiformats/cid';

import type { Address } from '../../filecoin/address.ts';
import type { DealProposal } from '../../filecoin/proposal.ts';
import type { Signature } from '../../filecoin/signature.ts';

/**
 * What a storage provider of the devnet asks of the chain. Addresses and ids of miners are ID addresses in text
 * (`f01000`); everything is read as of the head, and may change again when a reorg drops what it rests on.
 */
export interface LedgerPort {
  head(): { height: number };
  /** Unix time of epoch 0. */
  genesisSeconds(): number;
  /** Puts a miner on the chain, or changes the peer id, addresses and sector size of one that is there. */
  registerMiner(miner: MinerRegistration): MinerRecord;
  miner(id: string): MinerRecord | undefined;
  minerIds(): string[];
  /** The f1 or f3 address behind any address of an account; undefined when the chain has not seen the actor. */
  accountKey(address: Address): Address | undefined;
  /** The ID address of an actor; undefined when the chain has not seen it. */
  lookupId(address: Address): Address | undefined;
  /** Market escrow in attoFIL; undefined when the chain has not seen the actor. Available is escrow minus locked. */
  marketBalance(address: Address): { escrow: bigint; locked: bigint } | undefined;
  /** DataCap in bytes; undefined when the client has none. */
  dataCap(address: Address): bigint | undefined;
  /** Provider collateral in attoFIL, as StateDealProviderCollateralBounds tells it (10 % above the actor's own minimum). */
  collateralBounds(pieceBytes: bigint, verified: boolean): { min: bigint; max: bigint };
  /** Signs with the miner's worker key (asks are signed so). Throws for an unknown miner. */
  signAsWorker(minerId: string, message: Uint8Array): Signature;

  /**
   * Pushes PublishStorageDeals with these ClientDealProposals, signed by the miner's worker; the next tipset has it.
   * Refused when no deal would be valid: gas estimation of a real node fails so, and nothing is sent.
   */
  publish(minerId: string, signedProposals: readonly Uint8Array[]): PublishAttempt;
  /**
   * The publish message of this miner with this very ClientDealProposal, in the pool or on the chain; a provider killed
   * between publishing and remembering it asks for it, so that no batch goes out twice.
   */
  findPublish(minerId: string, signedProposal: Uint8Array): CID | undefined;
  /** What came of a publish message: undefined until its receipt is on the chain (and again after a reorg). */
  publishResult(message: CID): PublishResult | undefined;
  /** A deal in the market's state; undefined for one that never was, ended, or fell to a reorg. */
  deal(dealId: bigint): DealOnChain | undefined;
  /** Pushes the messages that prove one new sector with these deals. Refused when any of them cannot be activated. */
  proveSector(minerId: string, dealIds: readonly bigint[]): ProofAttempt;
  /** Whether a height lies at or below the finalized tipset. */
  isFinal(height: number): boolean;

  /** Called after each new head, also after a reorg, and never before the call that subscribes returns. */
  onEpoch(listener: (height: number) => void): () => void;
}

export interface MinerRegistration {
  /** `f01010`; without it the next free id is given. */
  id?: string;
  peerId?: string;
  /** Text form; the chain holds them as bytes. */
  multiaddrs?: readonly string[];
  /** 2048, 8 MiB, 512 MiB, 32 GiB (the default) or 64 GiB. */
  sectorBytes?: bigint;
  /** Market escrow at registration, attoFIL; 5,000 FIL unless told. */
  escrow?: bigint;
}

export interface MinerRecord {
  /** ID address in text. */
  id: string;
  /** Key addresses. */
  owner: Address;
  worker: Address;
  peerId: string | undefined;
  multiaddrs: readonly string[];
  sectorBytes: bigint;
}

export type PublishAttempt =
  | { kind: 'pushed'; message: CID; dropped: readonly DroppedDeal[] }
  | { kind: 'refused'; reason: string; dropped: readonly DroppedDeal[] };

export interface DroppedDeal {
  /** Index among the proposals that were given. */
  index: number;
  reason: string;
}

export interface PublishResult {
  message: CID;
  exitCode: number;
  /** Ids of the valid deals only, in order. */
  dealIds: readonly bigint[];
  /** Indexes of the valid deals among the proposals that were given. */
  valid: readonly number[];
  /** Epoch of the tipset that holds the message. */
  height: number;
}

export interface DealOnChain {
  dealId: bigint;
  /** Client and provider are ID addresses. */
  proposal: DealProposal;
  sectorNumber: number;
  /** −1 until a sector with the deal is proven. */
  sectorStartEpoch: number;
  lastUpdatedEpoch: number;
  slashEpoch: number;
}

export type ProofAttempt = { kind: 'pushed'; message: CID; sectorNumber: number } | { kind: 'refused'; reason: string };
