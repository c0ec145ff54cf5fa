import { ChainRefusal } from '../ledger/chain-refusal.ts';
import { drawFraction } from '../seeded-draw.ts';
import type { RpcReply } from './rpc-dispatch.ts';

/** Shares from 0 to 1. Of those of answers the first that strikes counts. */
interface FaultRates {
  /** Answers 500 with a line of text, as a proxy does. */
  http500: number;
  /** Answers 429 with `Retry-After`, as a gateway does that is asked too much. */
  http429: number;
  /** Answers 200 with an HTML page, as a gateway's front does. */
  html: number;
  /** Answers 200 with nothing. */
  empty: number;
  /** Answers the first half. */
  truncated: number;
  /** Answers with the id of another call. */
  wrongId: number;
  /** Answers null where there is a result. */
  nullResult: number;
  /** A lie: so large a share of the deals without a sector is shown active. */
  fakeActive: number;
  /** A lie: so large a share of the deals is not found. */
  hideDeals: number;
  /** A lie: the events of so large a share of the messages are not told. */
  hideEvents: number;
}

interface FaultCounts {
  /** Holds every answer back. */
  delayMs: number;
  /** Of 429. */
  retryAfterSeconds: number;
  /** The node lags so many epochs behind the chain. */
  behind: number;
  /** A lie: the node shows so many epochs more than there are. */
  ahead: number;
  /** The node left the chain so many epochs below the head as it was when this was told, and is on a fork since. */
  fork: number;
  /** MaxFilterHeightRange of the node's event index, in epochs. */
  maxEventRange: number;
  /** MaxFilterResults of the node's event index. */
  maxEvents: number;
}

interface FaultSwitches {
  /** A gateway stands before the node: 20 epochs of look-back for messages, a day for tipsets, and fewer methods. */
  gateway: boolean;
  /** The node runs without its actor events API, and says so. */
  eventsDisabled: boolean;
}

/** What can go wrong between a client and its node. */
export interface RpcFaults extends FaultRates, FaultCounts, FaultSwitches {
  /** Methods that the node does not know, without `Filecoin.`. */
  refuse: readonly string[];
}

const noRates: FaultRates = {
  http500: 0,
  http429: 0,
  html: 0,
  empty: 0,
  truncated: 0,
  wrongId: 0,
  nullResult: 0,
  fakeActive: 0,
  hideDeals: 0,
  hideEvents: 0,
};
const noCounts: FaultCounts = {
  delayMs: 0,
  retryAfterSeconds: 1,
  behind: 0,
  ahead: 0,
  fork: 0,
  // The defaults of a node.
  maxEventRange: 2_880,
  maxEvents: 10_000,
};
const noSwitches: FaultSwitches = { gateway: false, eventsDisabled: false };

export const noRpcFaults: RpcFaults = { ...noRates, ...noCounts, ...noSwitches, refuse: [] };

const MAX_COUNT = 600_000;
const HTML = '<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>\n';

type Distortion = (reply: RpcReply, faults: RpcFaults) => RpcReply;

const distortions: Readonly<Partial<Record<keyof FaultRates, Distortion>>> = {
  http500: () => ({ status: 500, body: 'internal server error\n' }),
  http429: (_, { retryAfterSeconds }) => ({
    status: 429,
    body: 'too many requests\n',
    headers: { 'retry-after': String(retryAfterSeconds) },
  }),
  html: () => ({ status: 200, body: HTML }),
  empty: () => ({ status: 200, body: '' }),
  truncated: ({ status, body }) => ({ status, body: body.slice(0, Math.floor(body.length / 2)) }),
  wrongId: (reply) => rewrite(reply, (call) => ({ ...call, id: typeof call['id'] === 'number' ? call['id'] + 1 : 0 })),
  nullResult: (reply) => rewrite(reply, (call) => ('result' in call ? { ...call, result: null } : call)),
};

/** Reads the faults of the control door; those that are not named are off. Throws ChainRefusal. */
export function parseRpcFaults(json: unknown): RpcFaults {
  if (json === null) return noRpcFaults;
  if (typeof json !== 'object' || Array.isArray(json)) throw refusal('rpc is an object such as {"http500":0.1}');
  let faults = noRpcFaults;
  for (const [name, value] of Object.entries(json ?? {})) faults = { ...faults, ...readFault(name, value) };
  return faults;
}

function readFault(name: string, value: unknown): Partial<RpcFaults> {
  if (name === 'refuse') return { refuse: readNames(value) };
  if (Object.hasOwn(noSwitches, name)) {
    if (typeof value !== 'boolean') throw refusal(`${name} is true or false`);
    return { [name]: value };
  }
  const isRate = Object.hasOwn(noRates, name);
  if (!isRate && !Object.hasOwn(noCounts, name)) {
    throw refusal(`there is no rpc fault ${name}: ${Object.keys(noRpcFaults).join(', ')}`);
  }
  if (typeof value !== 'number') throw refusal(`${name} is a number`);
  if (isRate && !(value >= 0 && value <= 1)) throw refusal(`${name} is a rate from 0 to 1`);
  if (!isRate && (!Number.isSafeInteger(value) || value < 0 || value > MAX_COUNT)) {
    throw refusal(`${name} is a whole number from 0 to ${MAX_COUNT}`);
  }
  return { [name]: value };
}

function readNames(value: unknown): string[] {
  if (Array.isArray(value) && value.every((item): item is string => typeof item === 'string')) return value;
  throw refusal('refuse is a list of methods such as ["GetActorEventsRaw"]');
}

/** The answer as it arrives when the `turn`-th request meets these faults. */
export function distort(reply: RpcReply, faults: RpcFaults, { seed, turn }: { seed: string; turn: number }): RpcReply {
  for (const [name, distortion] of Object.entries(distortions)) {
    const rate = faults[name as keyof FaultRates];
    if (rate > 0 && drawFraction(seed, `rpc/${name}/${turn}`) < rate) return distortion(reply, faults);
  }
  return reply;
}

/** Of a call or of each in a list. */
function rewrite(reply: RpcReply, change: (call: Record<string, unknown>) => Record<string, unknown>): RpcReply {
  const parsed: unknown = JSON.parse(reply.body);
  const changed = Array.isArray(parsed) ? parsed.map((call: unknown) => change(Object(call))) : change(Object(parsed));
  return { ...reply, body: `${JSON.stringify(changed)}\n` };
}

function refusal(message: string): ChainRefusal {
  return new ChainRefusal('BAD_INPUT', message);
}
