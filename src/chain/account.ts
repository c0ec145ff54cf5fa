import { Type } from 'typebox';
import { formatAddress, parseAddress } from '../filecoin/address.ts';
import { tipsetParam, type ReadOptions } from './head.ts';
import { answerParser, idText, toIdText } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';
import { isNodeError } from './rpc-error.ts';

export const parseLookupId = answerParser(idText, toIdText);
/** Refuses what is no address, and writes it with `f`. */
export const parseAccountKey = answerParser(Type.String(), (text) => formatAddress(parseAddress(text)));

/** The `f0…` of an address; undefined when the chain has no such actor yet. */
export async function readId(rpc: Rpc, address: string, options: ReadOptions): Promise<string | undefined> {
  const params = [address, tipsetParam(options.tipset)];
  try {
    return await rpc.read({ method: 'StateLookupID', params, parse: parseLookupId }, options.signal);
  } catch (error) {
    if (isNodeError(error, /actor not found/i)) return undefined;
    throw error;
  }
}

/** The key address (`f1…`, `f3…`) of an account. */
export async function readAccountKey(rpc: Rpc, address: string, options: ReadOptions): Promise<string> {
  const params = [address, tipsetParam(options.tipset)];
  return await rpc.read({ method: 'StateAccountKey', params, parse: parseAccountKey }, options.signal);
}
