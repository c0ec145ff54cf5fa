import { readAccountKey, readId } from './account.ts';
import { readDealEvents, type DealEvent, type DealEventFilter } from './actor-events.ts';
import { readParentMessages, type ExecutedMessage } from './executed-messages.ts';
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
  readMarketDeals,
  type CollateralBounds,
  type DealOutcomes,
  type MarketBalance,
  type MarketDeal,
} from './market.ts';
import { readMessage, searchMessage, type ChainMessage, type FoundMessage } from './messages.ts';
import { readMinerInfo, type MinerInfo } from './miner.ts';
import type { RpcNode, RpcPool } from './rpc.ts';
import type { Rpc } from './rpc-call.ts';

/** Typed reads of a Filecoin chain. Every one throws RpcError when the chain cannot be read, and never guesses. */
export interface Chain {
  head(signal: AbortSignal): Promise<Tipset>;
  /** The last tipset that no reorg will undo. */
  finalized(signal: AbortSignal): Promise<Tipset>;
  /** At this height, or the nearest below it when that round was empty. */
  tipsetAt(height: number, signal: AbortSignal): Promise<Tipset>;
  genesis(signal: AbortSignal): Promise<Tipset>;
  networkName(signal: AbortSignal): Promise<string>;
  minerInfo(id: string, options: ReadOptions): Promise<MinerInfo>;
  /** `f0…`, or undefined when the chain has no such actor. */
  lookupId(address: string, options: ReadOptions): Promise<string | undefined>;
  accountKey(address: string, options: ReadOptions): Promise<string>;
  marketBalance(address: string, options: ReadOptions): Promise<MarketBalance>;
  /** DataCap in bytes; undefined for a client that is not verified. */
  verifiedClientStatus(address: string, options: ReadOptions): Promise<bigint | undefined>;
  providerCollateralBounds(pieceBytes: bigint, verified: boolean, options: ReadOptions): Promise<CollateralBounds>;
  /** Undefined when the market actor does not hold the deal. */
  marketDeal(dealId: bigint, options: ReadOptions): Promise<MarketDeal | undefined>;
  /** The same for many, in few requests where the node takes it. One that fails says nothing of the others. */
  marketDeals(dealIds: readonly bigint[], options: ReadOptions): Promise<DealOutcomes>;
  dealEvents(filter: DealEventFilter): Promise<DealEvent[]>;
  /** What was executed of the parents of this block's tipset, in order. */
  parentMessages(blockCid: string, signal: AbortSignal): Promise<ExecutedMessage[]>;
  /** Undefined while the message is not executed. Throws `RPC_LOOKBACK` where a gateway does not search far enough. */
  searchMessage(cid: string, signal: AbortSignal): Promise<FoundMessage | undefined>;
  getMessage(cid: string, signal: AbortSignal): Promise<ChainMessage | undefined>;
}

/** Reads of one node alone, so that they are of one chain. A fault of it is thrown, and never made up for by another. */
export interface ChainNode extends Chain {
  /** Host and port of the node. */
  readonly node: string;
  /** Others have shown that its answers are false: for a while it is read only where no other is left. */
  distrust(): void;
}

/** One node, and who can say whether it is honest. */
export interface ChainSession extends ChainNode {
  /** The others that show the same chain, in order of preference. */
  readonly witnesses: readonly ChainNode[];
}

/** Reads of whichever node answers best. */
export interface ChainPool extends Chain {
  /** Chooses the best node there is now. Throws `NODES_DISAGREE` when no majority shows the same chain. */
  session(signal: AbortSignal, lookbackEpochs?: number): Promise<ChainSession>;
}

export function createChainPool(pool: RpcPool): ChainPool {
  return {
    ...createChain(pool),
    async session(signal, lookbackEpochs) {
      const session = await pool.session(signal, lookbackEpochs);
      return { ...toNode(session), witnesses: session.witnesses.map(toNode) };
    },
  };
}

function toNode(node: RpcNode): ChainNode {
  return { ...createChain(node), node: node.host, distrust: () => node.distrust() };
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
    marketDeals: (dealIds, options) => readMarketDeals(rpc, dealIds, options),
    dealEvents: (filter) => readDealEvents(rpc, filter),
    parentMessages: (blockCid, signal) => readParentMessages(rpc, blockCid, signal),
    searchMessage: (cid, signal) => searchMessage(rpc, cid, signal),
    getMessage: (cid, signal) => readMessage(rpc, cid, signal),
  };
}
