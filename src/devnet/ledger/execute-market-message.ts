import { CborReader } from '../../filecoin/cbor-reader.ts';
import { readAddress } from '../../filecoin/proposal.ts';
import { decodePublishParams, encodePublishReturn } from '../../filecoin/publish.ts';
import { dealEvent, type ActorEvent } from './actor-event.ts';
import {
  EXIT_FORBIDDEN,
  EXIT_ILLEGAL_ARGUMENT,
  EXIT_NOT_FOUND,
  EXIT_UNHANDLED,
  partiesOf,
  type ExecutionContext,
  type Outcome,
} from './actor-outcome.ts';
import type { ChainMessage, SignedMessage } from './chain-message.ts';
import { MARKET_ACTOR_ID } from './chain-state.ts';
import { applyPublish, applySettlement } from './market-deals.ts';
import { decodeCandidate, planPublish, type Candidate } from './market-publish.ts';

/** Method numbers of the market actor. */
export const METHOD_ADD_BALANCE = 2n;
export const METHOD_WITHDRAW = 3n;
export const METHOD_PUBLISH = 4n;
/** FRC-0042 number of SettleDealPayments. */
export const METHOD_SETTLE = 2_280_458_852n;

/** Deals of a message, decoded once: it is tried before it is sent, and again in its block. */
const candidates = new WeakMap<SignedMessage, Candidate[]>();

/** A call of f05. Throws FormatError for parameters that cannot be read. */
export function executeMarketMessage(context: ExecutionContext, signed: SignedMessage, senderId: bigint): Outcome {
  const { method, value } = signed.message;
  if (method === METHOD_ADD_BALANCE) return addBalance(context, signed.message, senderId);
  if (value !== 0n) return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: 'this method takes no value' };
  if (method === METHOD_WITHDRAW) return withdraw(context, signed.message, senderId);
  if (method === METHOD_PUBLISH) return publish(context, signed, senderId);
  if (method === METHOD_SETTLE) return settle(context, signed.message);
  return { exitCode: EXIT_UNHANDLED, error: `the market actor has no method ${method}` };
}

/** The parameter is a byte string with the address itself, not a tuple. */
function addBalance({ state, height }: ExecutionContext, message: ChainMessage, senderId: bigint): Outcome {
  const address = CborReader.decode(message.params, readAddress);
  if (message.value <= 0n)
    return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: 'balance to add must be greater than zero' };
  const isKey = address.protocol === 1 || address.protocol === 3;
  const id = isKey ? state.ensureAccount(address, height) : state.idOf(address);
  if (id === undefined) return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: 'there is no such actor' };
  state.addBalance(senderId, -message.value, height);
  state.addBalance(MARKET_ACTOR_ID, message.value, height);
  state.addEscrow(id, { escrow: message.value, locked: 0n }, height);
  return { exitCode: 0 };
}

function withdraw({ state, height }: ExecutionContext, message: ChainMessage, senderId: bigint): Outcome {
  const { address, amount } = CborReader.decode(message.params, (reader) => {
    reader.tuple(2, 'WithdrawBalanceParams');
    return { address: readAddress(reader), amount: reader.bigInt() };
  });
  const id = state.idOf(address);
  if (id === undefined || amount < 0n)
    return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: 'no such actor, or amount < 0' };
  if (id !== senderId && !state.controls(senderId, id)) return { exitCode: EXIT_FORBIDDEN, error: 'not the owner' };
  const { escrow, locked } = state.escrowOf(id);
  const taken = amount < escrow - locked ? amount : escrow - locked;
  const receiver = state.miners.get(id)?.owner ?? id;
  state.addEscrow(id, { escrow: -taken, locked: 0n }, height);
  state.addBalance(MARKET_ACTOR_ID, -taken, height);
  state.addBalance(receiver, taken, height);
  return { exitCode: 0 };
}

/** The provider of the batch is the first readable proposal's; the sender has to be its owner or worker. */
function publish(context: ExecutionContext, signed: SignedMessage, senderId: bigint): Outcome {
  const { state, policy, height } = context;
  const deals = candidatesOf(signed);
  const first = deals.find((deal) => 'proposal' in deal);
  const providerId = first === undefined ? undefined : state.idOf(first.proposal.provider);
  if (providerId === undefined || state.miners.get(providerId) === undefined) {
    return { exitCode: EXIT_NOT_FOUND, error: 'failed to resolve the provider of the first deal' };
  }
  if (!state.controls(senderId, providerId)) {
    return { exitCode: EXIT_FORBIDDEN, error: `the sender is neither owner nor worker of f0${providerId}` };
  }
  const plan = planPublish({ state, policy, epoch: height, providerId }, deals);
  if (plan.accepted.length === 0) {
    const reasons = plan.dropped.map(({ index, reason }) => `deal ${index}: ${reason}`).join('; ');
    return { exitCode: EXIT_ILLEGAL_ARGUMENT, dropped: plan.dropped, error: `All deal proposals invalid: ${reasons}` };
  }
  const ids = applyPublish(state, plan, height);
  const valid = plan.accepted.map(({ index }) => index);
  const events = ids.map((id, i) =>
    dealEvent('deal-published', { id, clientId: plan.accepted[i]?.clientId ?? 0n, providerId }, MARKET_ACTOR_ID),
  );
  return { exitCode: 0, returned: encodePublishReturn({ ids, valid }), events, dropped: plan.dropped };
}

function candidatesOf(signed: SignedMessage): Candidate[] {
  const known = candidates.get(signed);
  if (known !== undefined) return known;
  const decoded = decodePublishParams(signed.message.params).map((deal) => decodeCandidate(deal));
  candidates.set(signed, decoded);
  return decoded;
}

/** Here the parameter is a plain list of deal ids; on a real chain it is a bitfield, and the return tells more. */
function settle({ state, height }: ExecutionContext, message: ChainMessage): Outcome {
  const dealIds = CborReader.decode(message.params, (reader) => reader.array((item) => item.uint()));
  const events: ActorEvent[] = [];
  for (const id of dealIds) {
    const deal = state.deals.get(id);
    if (deal === undefined || applySettlement(state, id, height) !== 'completed') continue;
    events.push(dealEvent('deal-completed', { id, ...partiesOf(deal) }, MARKET_ACTOR_ID));
  }
  return { exitCode: 0, events };
}
