import type { Reserved } from './proposal-store.ts';

/** What the chain shows at one tipset. */
export interface ChainFunds {
  /** attoFIL in escrow at the market actor that nothing locks. */
  freeEscrow: bigint;
  /** Bytes of DataCap; undefined for a client that is not verified. */
  datacapBytes: bigint | undefined;
}

/** What one deal takes. */
export interface Cost {
  escrow: bigint;
  datacapBytes: bigint;
}

export interface CostTerms {
  pricePerEpoch: bigint;
  durationEpochs: number;
  verified: boolean;
  pieceBytes: bigint;
}

const GIB = 2n ** 30n;

/** attoFIL per epoch for a piece, from attoFIL per GiB per epoch, rounded up: an SP accepts no less than its ask rounded down. */
export function pricePerEpoch(perGib: bigint, pieceBytes: bigint): bigint {
  return (perGib * pieceBytes + GIB - 1n) / GIB;
}

/** A deal with a price takes escrow, a verified one too; a verified one takes its padded size of DataCap. */
export function costOf(terms: CostTerms): Cost {
  return {
    escrow: terms.pricePerEpoch * BigInt(terms.durationEpochs),
    datacapBytes: terms.verified ? terms.pieceBytes : 0n,
  };
}

/** What money there is too little of. */
export type Lack = 'escrow' | 'datacap';

/** Why a cost cannot be met out of what the chain shows less what is reserved; undefined when it can. */
function shortage(cost: Cost, funds: ChainFunds, reserved: Reserved): { lacks: Lack; reason: string } | undefined {
  const escrow = funds.freeEscrow - reserved.escrow;
  if (cost.escrow > 0n && cost.escrow > escrow) {
    const reason = `the market balance is short: ${escrow} attoFIL are free, ${cost.escrow} are needed (add funds with: lading wallet market-add)`;
    return { lacks: 'escrow', reason };
  }
  if (cost.datacapBytes === 0n) return undefined;
  if (funds.datacapBytes === undefined) {
    const reason = 'the client has no DataCap: get some from an allocator, or run: lading policy set verified=false';
    return { lacks: 'datacap', reason };
  }
  const datacap = funds.datacapBytes - reserved.datacapBytes;
  return cost.datacapBytes > datacap
    ? { lacks: 'datacap', reason: `DataCap is short: ${datacap} bytes are free, ${cost.datacapBytes} are needed` }
    : undefined;
}

export interface Fit<T> {
  fitting: T[];
  /** Why the first that does not fit does not. */
  short: string | undefined;
  /** What it is short of. */
  lacks: Lack | undefined;
}

/** Those deals, in order, that fit together into what is left; never more than that. */
export function fitFunds<T extends { cost: Cost }>(deals: T[], funds: ChainFunds, reserved: Reserved): Fit<T> {
  const taken = { ...reserved };
  const fitting: T[] = [];
  let short: { lacks: Lack; reason: string } | undefined;
  for (const deal of deals) {
    const lacking = shortage(deal.cost, funds, taken);
    short ??= lacking;
    if (lacking !== undefined) continue;
    taken.escrow += deal.cost.escrow;
    taken.datacapBytes += deal.cost.datacapBytes;
    fitting.push(deal);
  }
  return { fitting, short: short?.reason, lacks: short?.lacks };
}
