import { formatBytes } from '../../filecoin/units.ts';
import type { StoredAsk } from '../providers/provider-store.ts';
import type { Ask } from '../transport/transport.ts';
import { pricePerEpoch } from './money.ts';
import { priceCap, type PolicyTerms } from './policy.ts';

/** An ask may change at any time, and a wrong one costs a refusal that says so. */
export const ASK_MAX_AGE_MS = 3_600_000;

/** A column of prices holds no more digits: a thousand times all FIL there is, for a GiB and an epoch. */
const MAX_PRICE = 10n ** 39n;
/** What an int8 column holds; a piece is far smaller. */
const MAX_PIECE_BYTES = 2n ** 63n - 1n;

/** Why nothing can be made of an ask; undefined when something can. Providers sign whatever they like. */
export function absurdity({ price, verifiedPrice, minPieceBytes }: Ask): string | undefined {
  if ([price, verifiedPrice].some((one) => one < 0n || one >= MAX_PRICE)) return 'it asks a price that is none';
  return minPieceBytes > MAX_PIECE_BYTES ? 'it takes no piece of any size' : undefined;
}

/** An ask as it is kept. Some providers name the largest number there is for no bound. */
export function toStoredAsk({ miner: _miner, ...terms }: Ask, at: Date): StoredAsk {
  const { maxPieceBytes: max } = terms;
  return { ...terms, maxPieceBytes: max > MAX_PIECE_BYTES ? MAX_PIECE_BYTES : max, at };
}

/** The ask, when it is young enough to go by. */
export function freshAsk(ask: StoredAsk | undefined, now: Date): StoredAsk | undefined {
  return ask !== undefined && now.getTime() - ask.at.getTime() <= ASK_MAX_AGE_MS ? ask : undefined;
}

/** What the ask takes for a deal of the policy's kind: attoFIL per GiB per epoch. */
export function askedPrice(ask: StoredAsk, policy: PolicyTerms): bigint {
  return policy.verified ? ask.verifiedPrice : ask.price;
}

/** Why the price of an ask does not suit the policy; undefined when it does. */
export function priceRefusal(ask: StoredAsk, policy: PolicyTerms): string | undefined {
  const price = askedPrice(ask, policy);
  const cap = priceCap(policy);
  return price > cap ? `it asks ${price} attoFIL per GiB and epoch, more than the policy's ${cap}` : undefined;
}

/** Why an ask does not take pieces of this padded size; undefined when it does. */
export function sizeRefusal(ask: StoredAsk, pieceBytes: bigint): string | undefined {
  if (pieceBytes < ask.minPieceBytes) return `it takes no pieces under ${formatBytes(ask.minPieceBytes)}`;
  if (pieceBytes > ask.maxPieceBytes) return `it takes no pieces over ${formatBytes(ask.maxPieceBytes)}`;
  return undefined;
}

/**
 * The price we offer: attoFIL per epoch for the piece. To a provider without an ask we offer nothing: it can only refuse
 * that, in words that name its price.
 */
export function offeredPrice(ask: StoredAsk | undefined, policy: PolicyTerms, pieceBytes: bigint): bigint {
  return ask === undefined ? 0n : pricePerEpoch(askedPrice(ask, policy), pieceBytes);
}
