import { formatAddress, idAddress } from '../../filecoin/address.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { decodePublishParams, encodePublishParams } from '../../filecoin/publish.ts';
import { formatFil } from '../../filecoin/units.ts';
import { ChainRefusal } from '../ledger/chain-refusal.ts';
import { bad, bytesOf, DoorInput } from './door-input.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { parseRpcFaults, type RpcFaults } from './rpc-faults.ts';

export interface DoorContext {
  ledger: Ledger;
  setRpcFaults: (faults: RpcFaults) => void;
  /** Throws TypeError for a provider or fault that is not there; undefined where no providers run. */
  setProviderFaults: ((faults: unknown) => void) | undefined;
}

export interface DoorReply {
  status: number;
  json: Record<string, unknown>;
}

type Act = (context: DoorContext, body: unknown) => Record<string, unknown>;

const acts: Readonly<Record<string, Act>> = {
  providers: registerProvider,
  publish,
  fund,
  activate,
  terminate,
  settle,
  replace,
  advance: ({ ledger }, body) => {
    ledger.advance(new DoorInput(body, ['epochs']).integer('epochs'));
    return stateOf(ledger);
  },
  reorg: ({ ledger }, body) => {
    const input = new DoorInput(body, ['depth', 'reland', 'reuseIds']);
    const [reland, reuseIds] = [input.bool('reland'), input.bool('reuseIds')];
    ledger.reorg({
      depth: input.integer('depth'),
      ...(reland !== undefined && { reland }),
      ...(reuseIds !== undefined && { reuseIds }),
    });
    return stateOf(ledger);
  },
  pause: ({ ledger }) => {
    ledger.pause();
    return stateOf(ledger);
  },
  resume: ({ ledger }) => {
    ledger.resume();
    return stateOf(ledger);
  },
  faults: setFaults,
};

/** HTTP status by refusal; all others are 400. */
const statuses: Readonly<Record<string, number>> = {
  NO_DEAL: 404,
  NO_MINER: 404,
  NO_ACTOR: 404,
  DEAL_NOT_ACTIVE: 409,
  NOT_PENDING: 409,
  BAD_DEPTH: 409,
  EXIT_CODE: 422,
};

/**
 * Answers `POST /devnet/<name>`. Whatever needs a message is on the chain, receipt and all, when the answer comes:
 * the door makes the two tipsets this takes, also while the clock is paused.
 */
export function answerDoor(name: string, body: unknown, context: DoorContext): DoorReply {
  const act = Object.hasOwn(acts, name) ? acts[name] : undefined;
  if (act === undefined) {
    const known = Object.keys(acts).join(', ');
    return refused(404, 'NOT_FOUND', `there is no /devnet/${name}; there are ${known}`);
  }
  try {
    return { status: 200, json: act(context, body) };
  } catch (error) {
    if (error instanceof ChainRefusal) {
      return refused(statuses[error.code] ?? 400, error.code, error.message, error.details);
    }
    if (error instanceof FormatError) return refused(400, error.code, error.message);
    if (error instanceof TypeError) return refused(400, 'BAD_INPUT', error.message);
    throw error;
  }
}

/** Where the chain stands. */
export function stateOf(ledger: Ledger): Record<string, unknown> {
  const { height } = ledger.head();
  return { height, finalized: ledger.finalized().height, paused: ledger.isPaused, providers: ledger.minerIds() };
}

export function refused(
  status: number,
  code: string,
  message: string,
  details: Record<string, unknown> = {},
): DoorReply {
  return { status, json: { error: { code, message, ...details } } };
}

function registerProvider({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const input = new DoorInput(body, ['id', 'peerId', 'multiaddrs', 'sectorSize', 'escrow']);
  const fields = {
    id: input.optionalText('id'),
    peerId: input.optionalText('peerId'),
    multiaddrs: input.texts('multiaddrs'),
    sectorBytes: input.size('sectorSize'),
    escrow: input.fil('escrow'),
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const miner = ledger.registerMiner(Object.fromEntries(given));
  return {
    id: miner.id,
    owner: formatAddress(miner.owner),
    worker: formatAddress(miner.worker),
    peerId: miner.peerId ?? null,
    multiaddrs: miner.multiaddrs,
    sectorSize: Number(miner.sectorBytes),
  };
}

function publish({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const input = new DoorInput(body, ['provider', 'deals', 'params', 'land']);
  const provider = formatAddress(input.address('provider'));
  if (input.has('deals') === input.has('params')) throw bad('give either deals or params');
  const deals = (input.texts('deals') ?? []).map((deal) => bytesOf(deal, 'a deal'));
  const params = input.has('params') ? bytesOf(input.text('params'), 'params') : encodePublishParams(deals);
  if (decodePublishParams(params).length === 0) throw bad('there are no deals');
  const attempt = ledger.publishParams(provider, params);
  if (attempt.kind === 'refused') throw new ChainRefusal('EXIT_CODE', attempt.reason, { dropped: attempt.dropped });
  if (input.bool('land') === false) {
    return { message: attempt.message.toString(), dealIds: [], valid: [], dropped: attempt.dropped, height: null };
  }
  const { height, exitCode, error } = ledger.land(attempt.message);
  if (exitCode !== 0) throw new ChainRefusal('EXIT_CODE', `the message failed: ${error ?? exitCode}`, { height });
  const result = ledger.publishResult(attempt.message);
  const dealIds = (result?.dealIds ?? []).map((id) => Number(id));
  const { message, dropped } = attempt;
  return { message: message.toString(), dealIds, valid: result?.valid ?? [], dropped, height };
}

function fund({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const input = new DoorInput(body, ['address', 'fil', 'datacap']);
  const address = input.address('address');
  const [attoFil, dataCapBytes] = [input.fil('fil') ?? 0n, input.size('datacap') ?? 0n];
  const id = idAddress(ledger.fund(address, { attoFil, dataCapBytes }));
  const balance = ledger.marketBalance(id);
  return {
    id: formatAddress(id),
    address: formatAddress(address),
    escrow: formatFil(balance?.escrow ?? 0n),
    locked: formatFil(balance?.locked ?? 0n),
    datacap: (ledger.dataCap(id) ?? 0n).toString(),
  };
}

function activate({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const dealId = new DoorInput(body, ['dealId']).dealId('dealId');
  const { provider } = ledger.knownDeal(dealId).proposal;
  const attempt = ledger.proveSector(formatAddress(provider), [dealId]);
  if (attempt.kind === 'refused') throw new ChainRefusal('EXIT_CODE', attempt.reason);
  const { height, exitCode, error } = ledger.land(attempt.message);
  if (exitCode !== 0) throw new ChainRefusal('EXIT_CODE', `the message failed: ${error ?? exitCode}`);
  const { message, sectorNumber } = attempt;
  return { message: message.toString(), dealId: Number(dealId), sectorNumber, sectorStartEpoch: height };
}

function terminate({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const dealId = new DoorInput(body, ['dealId']).dealId('dealId');
  const message = ledger.terminateSectorOf(dealId);
  const { height } = ledger.land(message);
  return { message: message.toString(), dealId: Number(dealId), height };
}

/** SettleDealPayments, which providers call when they please: pays, and clears ended or timed-out deals. */
function settle({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const dealId = new DoorInput(body, ['dealId']).dealId('dealId');
  const message = ledger.settle(dealId);
  const { height } = ledger.land(message);
  const isGone = ledger.deal(dealId) === undefined;
  return { message: message.toString(), dealId: Number(dealId), height, gone: isGone };
}

/** Gives a message that waits in the pool a higher fee: another message, which takes its place on the chain. */
function replace({ ledger }: DoorContext, body: unknown): Record<string, unknown> {
  const message = ledger.replace(parseCid(new DoorInput(body, ['message']).text('message')));
  return { message: message.toString() };
}

/** A part that is absent stays as it is; one that is given replaces all its faults, null takes them away. */
function setFaults(context: DoorContext, body: unknown): Record<string, unknown> {
  const { ledger, setRpcFaults, setProviderFaults } = context;
  const input = new DoorInput(body, ['rpc', 'provider', 'chain']);
  const given = Object.fromEntries(Object.entries(Object(body)));
  const rpc = 'rpc' in given ? parseRpcFaults(given['rpc']) : undefined;
  const chain = input.has('chain') ? new DoorInput(input.get('chain'), ['nullRounds']) : undefined;
  if (chain !== undefined) ledger.setNullRounds(chain.number('nullRounds'));
  if (input.has('provider')) {
    if (setProviderFaults === undefined) throw bad('this devnet runs no providers of its own');
    setProviderFaults(input.get('provider'));
  }
  if (rpc !== undefined) setRpcFaults(rpc);
  return { rpc: rpc ?? 'unchanged', provider: input.has('provider') ? input.get('provider') : 'unchanged' };
}
