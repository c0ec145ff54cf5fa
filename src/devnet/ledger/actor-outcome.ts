import { idOf } from '../../filecoin/address.ts';
import type { ActorEvent } from './actor-event.ts';
import type { ChainPolicy } from './chain-policy.ts';
import type { ChainState, MarketDeal } from './chain-state.ts';
import type { DroppedDeal } from './ledger-port.ts';

/** What an actor did; refusals change nothing. */
export interface Outcome {
  exitCode: number;
  returned?: Uint8Array;
  events?: readonly ActorEvent[];
  /** Why deals of a publish message were dropped, and what failed: for people, not on the chain. */
  dropped?: readonly DroppedDeal[];
  error?: string;
}

export interface ExecutionContext {
  state: ChainState;
  policy: ChainPolicy;
  /** Epoch of the tipset that holds the message. */
  height: number;
}

/** Exit codes of builtin-actors. */
export const EXIT_INSUFFICIENT_SYSTEM_FUNDS = 6;
export const EXIT_ILLEGAL_ARGUMENT = 16;
export const EXIT_NOT_FOUND = 17;
export const EXIT_FORBIDDEN = 18;
export const EXIT_SERIALIZATION = 21;
export const EXIT_UNHANDLED = 22;

export function partiesOf({ proposal }: MarketDeal): { clientId: bigint; providerId: bigint } {
  return { clientId: idOf(proposal.client), providerId: idOf(proposal.provider) };
}
