import { Type, type Static } from 'typebox';
import { tipsetParam, type ReadOptions } from './head.ts';
import { amount, answerParser, badResult, cidLink, epoch, idText, toIdText, uint } from './parse-answer.ts';
import { jsonInteger, type Outcome, type Rpc } from './rpc-call.ts';
import { isNodeError } from './rpc-error.ts';

/** attoFIL. */
export interface MarketBalance {
  escrow: bigint;
  locked: bigint;
}

/** attoFIL a provider must and may put up for a deal. */
export interface CollateralBounds {
  min: bigint;
  max: bigint;
}

/** A proposal as the market actor keeps it: client and provider are ID addresses, and a label of bytes reads ''. */
export interface ChainProposal {
  pieceCid: string;
  /** Padded. */
  pieceBytes: bigint;
  verified: boolean;
  client: string;
  provider: string;
  label: string;
  startEpoch: number;
  endEpoch: number;
  pricePerEpoch: bigint;
  providerCollateral: bigint;
  clientCollateral: bigint;
}

/** Epochs are −1 where the thing has not happened. */
export interface MarketDeal {
  proposal: ChainProposal;
  sectorNumber: bigint;
  sectorStartEpoch: number;
  slashEpoch: number;
}

const balance = Type.Object({ Escrow: amount, Locked: amount });
const bounds = Type.Object({ Min: amount, Max: amount });
const datacap = Type.Union([amount, Type.Null()]);
const deal = Type.Object({
  Proposal: Type.Object({
    PieceCID: cidLink,
    PieceSize: uint,
    VerifiedDeal: Type.Boolean(),
    Client: idText,
    Provider: idText,
    Label: Type.String(),
    StartEpoch: epoch,
    EndEpoch: epoch,
    StoragePricePerEpoch: amount,
    ProviderCollateral: amount,
    ClientCollateral: amount,
  }),
  State: Type.Object({ SectorNumber: uint, SectorStartEpoch: epoch, SlashEpoch: epoch }),
});

function readDeal({ Proposal, State }: Static<typeof deal>): MarketDeal {
  return {
    proposal: {
      pieceCid: Proposal.PieceCID['/'],
      pieceBytes: BigInt(Proposal.PieceSize),
      verified: Proposal.VerifiedDeal,
      client: toIdText(Proposal.Client),
      provider: toIdText(Proposal.Provider),
      label: Proposal.Label,
      startEpoch: Proposal.StartEpoch,
      endEpoch: Proposal.EndEpoch,
      pricePerEpoch: BigInt(Proposal.StoragePricePerEpoch),
      providerCollateral: BigInt(Proposal.ProviderCollateral),
      clientCollateral: BigInt(Proposal.ClientCollateral),
    },
    sectorNumber: BigInt(State.SectorNumber),
    sectorStartEpoch: State.SectorStartEpoch,
    slashEpoch: State.SlashEpoch,
  };
}

export const parseMarketBalance = answerParser(balance, ({ Escrow, Locked }) => ({
  escrow: BigInt(Escrow),
  locked: BigInt(Locked),
}));
export const parseCollateralBounds = answerParser(bounds, ({ Min, Max }) => ({ min: BigInt(Min), max: BigInt(Max) }));
export const parseDataCap = answerParser(datacap, (bytes) => (bytes === null ? undefined : BigInt(bytes)));
export const parseMarketDeal = answerParser(deal, readDeal);

/** What an address has at the market actor. */
export async function readMarketBalance(rpc: Rpc, address: string, options: ReadOptions): Promise<MarketBalance> {
  const params = [address, tipsetParam(options.tipset)];
  return await rpc.read({ method: 'StateMarketBalance', params, parse: parseMarketBalance }, options.signal);
}

/** DataCap in bytes; undefined for a client that is not verified. */
export async function readDataCap(rpc: Rpc, address: string, options: ReadOptions): Promise<bigint | undefined> {
  const params = [address, tipsetParam(options.tipset)];
  return await rpc.read({ method: 'StateVerifiedClientStatus', params, parse: parseDataCap }, options.signal);
}

/** For a piece of this padded size. */
export async function readCollateralBounds(
  rpc: Rpc,
  piece: { pieceBytes: bigint; verified: boolean },
  options: ReadOptions,
): Promise<CollateralBounds> {
  const method = 'StateDealProviderCollateralBounds';
  const params = [jsonInteger(method, piece.pieceBytes), piece.verified, tipsetParam(options.tipset)];
  return await rpc.read({ method, params, parse: parseCollateralBounds }, options.signal);
}

const DEAL_METHOD = 'StateMarketStorageDeal';

function dealParams(dealId: bigint, { tipset }: Pick<ReadOptions, 'tipset'>): unknown[] {
  return [jsonInteger(DEAL_METHOD, dealId), tipsetParam(tipset)];
}

/** In these words a node says of this very deal that it is not in the state. */
function isNotFound(error: unknown, dealId: bigint): boolean {
  return isNodeError(error, new RegExp(`\\bdeal ${dealId} not found\\b`));
}

/**
 * A deal of the market actor. Undefined only when the node says of this very deal that it is not in the state: every
 * other failure is thrown, as it says nothing about the deal.
 */
export async function readMarketDeal(rpc: Rpc, dealId: bigint, options: ReadOptions): Promise<MarketDeal | undefined> {
  const params = dealParams(dealId, options);
  try {
    return await rpc.read({ method: DEAL_METHOD, params, parse: parseMarketDeal }, options.signal);
  } catch (error) {
    if (isNotFound(error, dealId)) return undefined;
    throw error;
  }
}

/** What a call for each of many deals came to: the deal, or undefined where it is not in the state. */
export type DealOutcomes = ReadonlyMap<bigint, Outcome<MarketDeal | undefined>>;

/** As readMarketDeal, for many at once. One that cannot be read says nothing of the others. */
export async function readMarketDeals(
  rpc: Rpc,
  dealIds: readonly bigint[],
  options: ReadOptions,
): Promise<DealOutcomes> {
  const params = dealIds.map((dealId) => dealParams(dealId, options));
  const outcomes = await rpc.readMany({ method: DEAL_METHOD, params, parse: parseMarketDeal }, options.signal);
  return new Map(
    dealIds.map((dealId, at) => {
      const outcome = outcomes[at] ?? { error: badResult(`no answer for deal ${dealId}`, DEAL_METHOD) };
      const isGone = 'error' in outcome && isNotFound(outcome.error, dealId);
      return [dealId, isGone ? { value: undefined } : outcome];
    }),
  );
}
