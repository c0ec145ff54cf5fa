import { Type, type Static } from 'typebox';
import { tipsetParam, type ReadOptions } from './head.ts';
import { amount, answerParser, cidLink, epoch, idText, toIdText, uint } from './parse-answer.ts';
import { jsonInteger, type Rpc } from './rpc.ts';
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
export async function readMarketBalance(rpc: Rpc, address: string, options: ReadOptions = {}): Promise<MarketBalance> {
  const method = 'StateMarketBalance';
  return parseMarketBalance(await rpc.call(method, [address, tipsetParam(options.tipset)], options.signal), method);
}

/** DataCap in bytes; undefined for a client that is not verified. */
export async function readDataCap(rpc: Rpc, address: string, options: ReadOptions = {}): Promise<bigint | undefined> {
  const method = 'StateVerifiedClientStatus';
  return parseDataCap(await rpc.call(method, [address, tipsetParam(options.tipset)], options.signal), method);
}

/** For a piece of this padded size. */
export async function readCollateralBounds(
  rpc: Rpc,
  piece: { pieceBytes: bigint; verified: boolean },
  options: ReadOptions = {},
): Promise<CollateralBounds> {
  const method = 'StateDealProviderCollateralBounds';
  const params = [jsonInteger(method, piece.pieceBytes), piece.verified, tipsetParam(options.tipset)];
  return parseCollateralBounds(await rpc.call(method, params, options.signal), method);
}

/**
 * A deal of the market actor. Undefined only when the node says of this very deal that it is not in the state: every
 * other failure is thrown, as it says nothing about the deal.
 */
export async function readMarketDeal(
  rpc: Rpc,
  dealId: bigint,
  options: ReadOptions = {},
): Promise<MarketDeal | undefined> {
  const method = 'StateMarketStorageDeal';
  try {
    const answer = await rpc.call(method, [jsonInteger(method, dealId), tipsetParam(options.tipset)], options.signal);
    return parseMarketDeal(answer, method);
  } catch (error) {
    if (isNodeError(error, new RegExp(`\\bdeal ${dealId} not found\\b`))) return undefined;
    throw error;
  }
}
