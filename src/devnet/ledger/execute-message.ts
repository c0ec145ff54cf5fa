import type { CID } from 'multiformats/cid';

import { FormatError } from '../../filecoin/format-error.ts';
import { eventsRootOf, type ActorEvent } from './actor-event.ts';
import {
  EXIT_FORBIDDEN,
  EXIT_ILLEGAL_ARGUMENT,
  EXIT_INSUFFICIENT_SYSTEM_FUNDS,
  EXIT_NOT_FOUND,
  EXIT_SERIALIZATION,
  EXIT_UNHANDLED,
  type ExecutionContext,
  type Outcome,
} from './actor-outcome.ts';
import type { ChainMessage, SignedMessage } from './chain-message.ts';
import { BURNT_FUNDS_ACTOR_ID, MARKET_ACTOR_ID } from './chain-state.ts';
import { executeMarketMessage } from './execute-market-message.ts';
import { executeMinerMessage } from './execute-miner-message.ts';
import type { DroppedDeal } from './ledger-port.ts';

/** What became of a message: its receipt, and for us why deals were dropped or what failed. */
export interface Execution {
  signed: SignedMessage;
  exitCode: number;
  returned: Uint8Array;
  gasUsed: number;
  events: readonly ActorEvent[];
  eventsRoot: CID | undefined;
  dropped: readonly DroppedDeal[];
  error: string | undefined;
}

/** A plain transfer, of every actor. */
export const METHOD_SEND = 0n;

/** attoFIL per gas in every block; the fee is small and constant, so that balances stay easy to follow. */
export const BASE_FEE = 100n;
/** Gas grows with what is computed on a real chain; here with the size of the message alone. */
const GAS_PER_MESSAGE = 1_000_000;
const GAS_PER_PARAM_BYTE = 20_000;

export function gasOf(message: ChainMessage): number {
  return GAS_PER_MESSAGE + GAS_PER_PARAM_BYTE * message.params.length;
}

/** Runs a message: takes its nonce and fee, moves its value, and calls the actor. */
export function executeMessage(context: ExecutionContext, signed: SignedMessage): Execution {
  const gasUsed = gasOf(signed.message);
  const outcome = run(context, signed, BigInt(gasUsed) * BASE_FEE);
  const events = outcome.events ?? [];
  return {
    signed,
    exitCode: outcome.exitCode,
    returned: outcome.returned ?? new Uint8Array(),
    gasUsed,
    events,
    eventsRoot: eventsRootOf(events),
    dropped: outcome.dropped ?? [],
    error: outcome.error,
  };
}

function run(context: ExecutionContext, signed: SignedMessage, fee: bigint): Outcome {
  const { state, height } = context;
  const { message } = signed;
  const senderId = state.idOf(message.from);
  const sender = senderId === undefined ? undefined : state.accounts.get(senderId);
  if (senderId === undefined || sender === undefined) {
    return { exitCode: EXIT_NOT_FOUND, error: 'the sender is not an account on this chain' };
  }
  if (sender.balance < fee + message.value) {
    state.accounts.set(senderId, { ...sender, nonce: sender.nonce + 1 }, height);
    const error = `the sender has ${sender.balance} attoFIL and needs ${fee + message.value}`;
    return { exitCode: EXIT_INSUFFICIENT_SYSTEM_FUNDS, error };
  }
  // A real chain gives the tip to the block's miner; here all of the fee burns.
  state.accounts.set(senderId, { ...sender, nonce: sender.nonce + 1, balance: sender.balance - fee }, height);
  state.addBalance(BURNT_FUNDS_ACTOR_ID, fee, height);
  try {
    return callActor(context, signed, senderId);
  } catch (error) {
    if (error instanceof FormatError) return { exitCode: EXIT_SERIALIZATION, error: error.message };
    throw error;
  }
}

function callActor(context: ExecutionContext, signed: SignedMessage, senderId: bigint): Outcome {
  const { to, method, value } = signed.message;
  const { state, height } = context;
  if (method === METHOD_SEND) {
    const receiverId = to.protocol === 1 || to.protocol === 3 ? state.ensureAccount(to, height) : state.idOf(to);
    if (receiverId === undefined) return { exitCode: EXIT_NOT_FOUND, error: 'there is no such actor' };
    state.addBalance(senderId, -value, height);
    state.addBalance(receiverId, value, height);
    return { exitCode: 0 };
  }
  const actorId = state.idOf(to);
  if (actorId === MARKET_ACTOR_ID) return executeMarketMessage(context, signed, senderId);
  if (value !== 0n) return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: 'this method takes no value' };
  const minerId = actorId !== undefined && state.miners.get(actorId) !== undefined ? actorId : undefined;
  if (minerId === undefined) return { exitCode: EXIT_UNHANDLED, error: `no actor here has a method ${method}` };
  if (!state.controls(senderId, minerId)) return { exitCode: EXIT_FORBIDDEN, error: 'not owner or worker' };
  return executeMinerMessage(context, { minerId, message: signed.message });
}
