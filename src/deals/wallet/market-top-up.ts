import { searchMessage, type FoundMessage } from '../../chain/messages.ts';
import { estimateGas, pushMessage, readBalance, readNonce } from '../../chain/messages-write.ts';
import type { RpcPool } from '../../chain/rpc.ts';
import { isNodeError, RpcError } from '../../chain/rpc-error.ts';
import { LadingError } from '../../errors.ts';
import { parseAddress } from '../../filecoin/address.ts';
import {
  addBalanceParams,
  MARKET_ACTOR,
  messageSigningBytes,
  METHOD_ADD_BALANCE,
  signedMessageCid,
  type Message,
  type SignedMessage,
} from '../../filecoin/messages.ts';
import { verifySignature } from '../../filecoin/signature.ts';
import { formatFil } from '../../filecoin/units.ts';
import { raiseGas } from './raise-gas.ts';
import type { TopUpMessages, TopUpRecord } from './top-up-record.ts';
import type { Wallet } from './wallet.ts';

export interface TopUpDeps {
  rpc: Pick<RpcPool, 'read' | 'readMany' | 'write'>;
  wallet: Wallet;
  record: TopUpRecord;
  /** Waits between two looks at the chain. */
  sleep(signal: AbortSignal): Promise<void>;
  /** Told what goes on, for a person. */
  say(line: string): void;
}

export interface TopUp {
  /** attoFIL. */
  amount: bigint;
  /** Asked before anything is signed. */
  confirm(facts: { address: string; balance: bigint; maxFee: bigint }): Promise<boolean>;
  /** Of one that is under way and not executed: it is sent once more with a higher fee. */
  raiseFee?: boolean;
}

export interface TopUpEnd {
  /** `earlier`: a top-up of another amount was under way and is done; the one asked for was not begun. */
  kind: 'added' | 'earlier' | 'declined';
  amount: bigint;
  message?: string;
  height?: number;
}

/** A tenth of a FIL: some ten times what AddBalance costs on a busy day; a fee above it is a node's mistake, or a lie. */
const MAX_FEE = 10n ** 17n;
/** A message is executed in the epoch after the next when its fee is right; a quarter of an hour is thirty epochs. */
const MAX_LOOKS = 180;

const cidOf = (signed: SignedMessage) => signedMessageCid(signed).toString();

/** Only what is zero is filled in by a node. */
const UNPRICED = { gasLimit: 0, gasFeeCap: 0n, gasPremium: 0n };

async function compose(deps: TopUpDeps, amount: bigint, signal: AbortSignal): Promise<SignedMessage> {
  const { rpc, wallet } = deps;
  const from = parseAddress(await wallet.address());
  const unpriced: Message = {
    to: MARKET_ACTOR,
    from,
    nonce: await readNonce(rpc, from, signal),
    value: amount,
    ...UNPRICED,
    method: METHOD_ADD_BALANCE,
    params: addBalanceParams(from),
  };
  // Of the node's answer only the gas is taken: what is signed is ours.
  return await sign(deps, { ...unpriced, ...(await estimateGas(rpc, { message: unpriced, maxFee: MAX_FEE }, signal)) });
}

/** The same message, with a premium for which nodes put it in the place of the one before. */
async function composeRaised(deps: TopUpDeps, { message }: SignedMessage, signal: AbortSignal): Promise<SignedMessage> {
  const asked = await estimateGas(deps.rpc, { message: { ...message, ...UNPRICED }, maxFee: MAX_FEE }, signal);
  return await sign(deps, { ...message, ...raiseGas(message, asked) });
}

async function sign({ wallet }: TopUpDeps, message: Message): Promise<SignedMessage> {
  const fee = BigInt(message.gasLimit) * message.gasFeeCap;
  if (fee > MAX_FEE) {
    const told = `the node wants up to ${formatFil(fee)} FIL in fees, more than ${formatFil(MAX_FEE)} FIL`;
    throw new LadingError('TOP_UP_FEE', `${told}: nothing was sent now; try again later`, { retry: 'later' });
  }
  const signature = await wallet.sign(messageSigningBytes(message));
  if (!verifySignature(signature, messageSigningBytes(message), message.from))
    throw new LadingError('WALLET_SIGNATURE_WRONG', 'the wallet signed as another address: nothing was sent');
  return { message, signature };
}

/** Words of a node that holds the message already, or has executed one of its nonce: no refusal of ours. */
const TAKEN = /already in mpool|minimum expected nonce|nonce too low|existing nonce/i;

/**
 * Sends the same bytes, as often as it is called: a nonce is executed once. Answers the node's words when it refused
 * them for good.
 */
async function push(
  { rpc, say }: TopUpDeps,
  signed: SignedMessage,
  signal: AbortSignal,
): Promise<RpcError | undefined> {
  try {
    await pushMessage(rpc, signed, signal);
    return undefined;
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    if (error.code === 'RPC_WRITE_UNKNOWN') {
      say(`${error.why}; looking for it on chain`);
      return undefined;
    }
    if (error.code !== 'RPC_ERROR' || TAKEN.test(error.why)) {
      say(`the node did not take it now (${error.message}); looking for it on chain`);
      return undefined;
    }
    // A node that took it into its pool before it failed counts its nonce as used.
    const { from, nonce } = signed.message;
    return (await readNonce(rpc, from, signal)) > nonce ? undefined : error;
  }
}

/** The first time: what is refused then is nowhere. */
async function pushNew(deps: TopUpDeps, signed: SignedMessage, signal: AbortSignal): Promise<void> {
  const cause = await push(deps, signed, signal);
  if (cause === undefined) return;
  await deps.record.forget([signed]);
  throw new LadingError('TOP_UP_REFUSED', `the node refused the message, and nothing was added: ${cause.why}`, {
    cause,
  });
}

/** Once more: another node may have taken it the first time, so that a refusal now ends nothing. */
async function pushAgain(deps: TopUpDeps, signed: SignedMessage, signal: AbortSignal): Promise<void> {
  const cause = await push(deps, signed, signal);
  if (cause === undefined) return;
  const advice = `see on chain whether nonce ${signed.message.nonce} was used; if not by it, remove ${deps.record.path}`;
  const told = `the node refuses ${cidOf(signed)} (${cause.why}), but another may hold it, so nothing else is sent`;
  throw new LadingError('TOP_UP_UNSETTLED', `${told}: ${advice}`, { cause, retry: 'later' });
}

/** A node's words for a nonce that something else took. */
const OUSTED = /not a valid replacement|equal nonce/i;

/** Any of them: a node tells of the one that was executed when asked for another that it knows, and only then. */
async function look(deps: TopUpDeps, messages: TopUpMessages, signal: AbortSignal): Promise<FoundMessage | undefined> {
  for (const signed of messages.toReversed()) {
    const found = await lookFor(deps, { signed, messages }, signal);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function lookFor(
  { rpc, record }: TopUpDeps,
  { signed, messages }: { signed: SignedMessage; messages: TopUpMessages },
  signal: AbortSignal,
): Promise<FoundMessage | undefined> {
  const cid = cidOf(signed);
  try {
    return await searchMessage(rpc, cid, signal);
  } catch (error) {
    if (isNodeError(error, OUSTED)) {
      await record.forget(messages);
      throw new LadingError('TOP_UP_REPLACED', `another message took the nonce of ${cid}: nothing was added by it`, {
        cause: error,
      });
    }
    // A node that is away for a moment says nothing of the message.
    if (error instanceof RpcError && error.retry === 'later') return undefined;
    throw error;
  }
}

/** What became of it: executed, or why not. It stays on record until one of these is known. */
async function settle(deps: TopUpDeps, messages: TopUpMessages, signal: AbortSignal): Promise<FoundMessage> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    const found = await look(deps, messages, signal);
    if (found !== undefined) {
      await deps.record.forget(messages);
      if (found.exitCode === 0) return found;
      throw new LadingError(
        'TOP_UP_FAILED',
        `${found.message} was executed with exit code ${found.exitCode}: nothing was added`,
      );
    }
    await deps.sleep(signal);
    signal.throwIfAborted();
  }
  throw new LadingError(
    'TOP_UP_WAITING',
    `${cidOf(newestOf(messages))} was sent and is not executed yet: run the same command again, which goes on waiting for it, or with --raise-fee`,
    { retry: 'later' },
  );
}

function newestOf(messages: TopUpMessages): SignedMessage {
  return messages.at(-1) ?? messages[0];
}

/** Looks first, so that what was executed meanwhile is not sent once more. */
async function goOn(
  deps: TopUpDeps,
  { messages, raiseFee }: { messages: TopUpMessages; raiseFee: boolean },
  signal: AbortSignal,
): Promise<FoundMessage> {
  const { message } = messages[0];
  deps.say(`a top-up of ${formatFil(message.value)} FIL is under way (${cidOf(messages[0])}): going on with it`);
  if ((await look(deps, messages, signal)) !== undefined) return await settle(deps, messages, signal);
  const sent = raiseFee ? await raise(deps, messages, signal) : messages;
  await pushAgain(deps, newestOf(sent), signal);
  return await settle(deps, sent, signal);
}

/** On record before it is sent, beside those before it: any of them may be the one that is executed. */
async function raise(deps: TopUpDeps, messages: TopUpMessages, signal: AbortSignal): Promise<TopUpMessages> {
  const raised = await composeRaised(deps, newestOf(messages), signal);
  const { nonce, gasFeeCap, gasPremium } = raised.message;
  deps.say(`sending ${cidOf(raised)} in its place (nonce ${nonce}, premium ${gasPremium}, at most ${gasFeeCap} a gas)`);
  return await deps.record.add(messages, raised);
}

async function begin(
  deps: TopUpDeps,
  { amount, confirm }: TopUp,
  signal: AbortSignal,
): Promise<SignedMessage | undefined> {
  const { rpc, wallet, record, say } = deps;
  const address = await wallet.address();
  const balance = await readBalance(rpc, address, signal);
  if (balance < amount + MAX_FEE) {
    const told = `${address} has ${formatFil(balance)} FIL, and ${formatFil(amount)} FIL with fees is more: send it some`;
    throw new LadingError('TOP_UP_POOR', told);
  }
  if (!(await confirm({ address, balance, maxFee: MAX_FEE }))) return undefined;
  const signed = await compose(deps, amount, signal);
  if (!(await record.keep(signed))) {
    throw new LadingError('TOP_UP_RUNNING', 'another top-up of this address has begun meanwhile: run this again', {
      retry: 'later',
    });
  }
  say(`sending ${cidOf(signed)} (nonce ${signed.message.nonce})`);
  await pushNew(deps, signed, signal);
  return signed;
}

/**
 * Adds FIL to the client's market balance (f05 AddBalance), and waits until that is executed. The signed message is on
 * record before it is sent, and a later call goes on with it: however often this is killed, one amount is added once.
 */
export async function topUpMarket(deps: TopUpDeps, topUp: TopUp, signal: AbortSignal): Promise<TopUpEnd> {
  const earlier = await deps.record.find();
  if (earlier !== undefined) {
    const { height, message } = await goOn(deps, { messages: earlier, raiseFee: topUp.raiseFee ?? false }, signal);
    const { value: amount } = earlier[0].message;
    return { kind: amount === topUp.amount ? 'added' : 'earlier', amount, message, height };
  }
  const signed = await begin(deps, topUp, signal);
  if (signed === undefined) return { kind: 'declined', amount: topUp.amount };
  const { height, message } = await settle(deps, [signed], signal);
  return { kind: 'added', amount: topUp.amount, message, height };
}
