import { ChainRefusal } from '../ledger/chain-refusal.ts';
import type { RpcReply } from './rpc-dispatch.ts';
import { drawFraction } from '../seeded-draw.ts';

/** What can go wrong between a client and its node. Rates are from 0 to 1; the first that strikes counts. */
export interface RpcFaults {
  /** Answers 500 with a line of text, as a proxy does. */
  http500: number;
  /** Answers 200 with an HTML page, as a gateway's front does. */
  html: number;
  /** Answers 200 with nothing. */
  empty: number;
  /** Answers the first half. */
  truncated: number;
  /** Holds every answer back. */
  delayMs: number;
  /** The node lags so many epochs behind the chain. */
  behind: number;
}

export const noRpcFaults: RpcFaults = { http500: 0, html: 0, empty: 0, truncated: 0, delayMs: 0, behind: 0 };

const rates = ['http500', 'html', 'empty', 'truncated'] as const;
const MAX_DELAY_MS = 600_000;
const HTML = '<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>\n';

const distortions: Readonly<Record<(typeof rates)[number], (reply: RpcReply) => RpcReply>> = {
  http500: () => ({ status: 500, body: 'internal server error\n' }),
  html: () => ({ status: 200, body: HTML }),
  empty: () => ({ status: 200, body: '' }),
  truncated: ({ status, body }) => ({ status, body: body.slice(0, Math.floor(body.length / 2)) }),
};

/** Reads the faults of the control door; those that are not named are off. Throws ChainRefusal. */
export function parseRpcFaults(json: unknown): RpcFaults {
  if (json === null) return noRpcFaults;
  if (typeof json !== 'object' || Array.isArray(json)) throw refusal('rpc is an object such as {"http500":0.1}');
  const faults = { ...noRpcFaults };
  for (const [name, value] of Object.entries(json ?? {})) {
    if (!isFaultName(name)) throw refusal(`there is no rpc fault ${name}: ${Object.keys(noRpcFaults).join(', ')}`);
    if (typeof value !== 'number') throw refusal(`${name} is a number`);
    if (isRate(name) && !(value >= 0 && value <= 1)) throw refusal(`${name} is a rate from 0 to 1`);
    if (!isRate(name) && (!Number.isSafeInteger(value) || value < 0 || value > MAX_DELAY_MS)) {
      throw refusal(`${name} is a whole number from 0 to ${MAX_DELAY_MS}`);
    }
    faults[name] = value;
  }
  return faults;
}

/** The answer as it arrives when the `turn`-th request meets these faults. */
export function distort(reply: RpcReply, faults: RpcFaults, { seed, turn }: { seed: string; turn: number }): RpcReply {
  const struck = rates.find((name) => drawFraction(seed, `rpc/${name}/${turn}`) < faults[name]);
  return struck === undefined ? reply : distortions[struck](reply);
}

function isFaultName(name: string): name is keyof RpcFaults {
  return Object.hasOwn(noRpcFaults, name);
}

function isRate(name: keyof RpcFaults): boolean {
  return rates.some((rate) => rate === name);
}

function refusal(message: string): ChainRefusal {
  return new ChainRefusal('BAD_INPUT', message);
}
