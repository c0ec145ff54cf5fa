import type { Rpc } from '../../src/chain/rpc-call.ts';
import { outcomeOf } from '../../src/chain/rpc-endpoint.ts';
import type { ReadMethod } from '../../src/chain/rpc-methods.ts';

/** Never aborts. */
export const signal = new AbortController().signal;
export const given = { signal };

/** A read whose answer is taken as it is. */
export function ask(
  rpc: Rpc,
  method: ReadMethod = 'ChainHead',
  params: readonly unknown[] = [],
  until = signal,
): Promise<unknown> {
  return rpc.read({ method, params, parse: (answer) => answer }, until);
}

/** An Rpc out of one function. */
export function rpcOf(call: (method: string, params: readonly unknown[]) => unknown): Rpc {
  const answer = (method: string, params: readonly unknown[]) => Promise.resolve().then(() => call(method, params));
  return {
    read: async ({ method, params, parse }) => parse(await answer(method, params), method),
    readMany: ({ method, params, parse }) =>
      Promise.all(params.map((one) => outcomeOf(answer(method, one).then((raw) => parse(raw, method))))),
  };
}
