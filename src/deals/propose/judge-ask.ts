import { formatBytes } from '../../filecoin/units.ts';
import { pricePerEpoch } from './money.ts';
import { priceCap, type PolicyTerms } from './policy.ts';
import type { Ask } from '../send/transport.ts';

export type AskVerdict = { kind: 'fine'; pricePerEpoch: bigint } | { kind: 'refused'; reason: string };

export interface JudgeAskInput {
  /** Undefined when the provider has no ask. */
  ask: Ask | undefined;
  policy: PolicyTerms;
  provider: string;
  pieceBytes: bigint;
}

/**
 * Whether a provider's ask suits the piece and the policy, and the price we offer (attoFIL per epoch for the piece). To a
 * provider without an ask we offer nothing: it can only refuse that, in words that name its price.
 */
export function judgeAsk({ ask, policy, provider, pieceBytes }: JudgeAskInput): AskVerdict {
  if (ask === undefined) return { kind: 'fine', pricePerEpoch: 0n };
  const refused = (reason: string): AskVerdict => ({ kind: 'refused', reason });
  if (ask.miner !== provider) return refused(`its ask is for another provider, ${ask.miner}`);
  if (pieceBytes < ask.minPieceBytes) return refused(`it takes no pieces under ${formatBytes(ask.minPieceBytes)}`);
  if (pieceBytes > ask.maxPieceBytes) return refused(`it takes no pieces over ${formatBytes(ask.maxPieceBytes)}`);
  const price = policy.verified ? ask.verifiedPrice : ask.price;
  const cap = priceCap(policy);
  if (price > cap) return refused(`it asks ${price} attoFIL per GiB and epoch, more than the policy's ${cap}`);
  return { kind: 'fine', pricePerEpoch: pricePerEpoch(price, pieceBytes) };
}
