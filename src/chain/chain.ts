import { readAccountKey, readId } from './account.ts';
import { readDealEvents, type DealEvent, type DealEventFilter } from './actor-events.ts';
import {
  readFinalized,
  readGenesis,
  readHead,
  readNetworkName,
  readTipsetAt,
  type ReadOptions,
  type Tipset,
} from './head.ts';
import {
  readCollateralBounds,
  readDataCap,
  readMarketBalance,
  readMarketDeal,
  type CollateralBounds,
  type MarketBalance,
  type MarketDeal,
} from './market.ts';
import { readMessage, searchMessage, type ChainMessage, type FoundMessage } from './messages.ts';
import { readMinerInfo, type MinerInfo } from './miner.ts';
import type { Rpc } from './rpc.ts';

/** Typed reads of a Filecoin chain. Every one throws RpcError when the chain cannot be read, and never guesses. */
export interface Chain {
  head(signal?: AbortSignal): Promise<Tipset>;
  /** The last tipset that no reorg will undo. */
  finalized(signal?: AbortSignal): Promise<Tipset>;
  /** At this height, or the nearest below it when that round was empty. */
  tipsetAt(height: number, signal?: AbortSignal): Promise<Tipset>;
  genesis(signal?: AbortSignal): Promise<Tipset>;
  networkName(signal?: AbortSignal): Promise<string>;
  minerInfo(id: string, options?: ReadOptions): Promise<MinerInfo>;
  /** `f0…`, or undefined when the chain has no such actor. */
  lookupId(address: string, options?: ReadOptions): Promise<string | undefined>;
  accountKey(address: string, options?: ReadOptions): Promise<string>;
  marketBalance(address: string, options?: ReadOptions): Promise<MarketBalance>;
  /** DataCap in bytes; undefined for a client that is not verified. */
  verifiedClientStatus(address: string, options?: ReadOptions): Promise<bigint | undefined>;
  providerCollateralBounds(pieceBytes: bigint, verified: boolean, options?: ReadOptions): Promise<CollateralBounds>;
  /** Undefined when the market actor does not hold the deal. */
  marketDeal(dealId: bigint, options?: ReadOptions): Promise<MarketDeal | undefined>;
  dealEvents(filter: DealEventFilter): Promise<DealEvent[]>;
  /** Undefined while the message is not executed. */
  searchMessage(cid: string, signal?: AbortSignal): Promise<FoundMessage | undefined>;
  getMessage(cid: string, signal?: AbortSignal): Promise<ChainMessage | undefined>;
}

export function createChain(rpc: Rpc): Chain {
  return {
    head: (signal) => readHead(rpc, signal),
    finalized: (signal) => readFinalized(rpc, signal),
    tipsetAt: (height, signal) => readTipsetAt(rpc, height, signal),
    genesis: (signal) => readGenesis(rpc, signal),
    networkName: (signal) => readNetworkName(rpc, signal),
    minerInfo: (id, options) => readMinerInfo(rpc, id, options),
    lookupId: (address, options) => readId(rpc, address, options),
    accountKey: (address, options) => readAccountKey(rpc, address, options),
    marketBalance: (address, options) => readMarketBalance(rpc, address, options),
    verifiedClientStatus: (address, options) => readDataCap(rpc, address, options),
    providerCollateralBounds: (pieceBytes, verified, options) =>
      readCollateralBounds(rpc, { pieceBytes, verified }, options),
    marketDeal: (dealId, options) => readMarketDeal(rpc, dealId, options),
    dealEvents: (filter) => readDealEvents(rpc, filter),
    searchMessage: (cid, signal) => searchMessage(rpc, cid, signal),
    getMessage: (cid, signal) => readMessage(rpc, cid, signal),
  };
}
