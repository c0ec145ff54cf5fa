import { Type, type Static } from 'typebox';
import { EC_FINALITY_EPOCHS } from '../filecoin/limits.ts';
import { answerParser, badResult, cidLink } from './parse-answer.ts';
import type { Rpc } from './rpc.ts';
import { RpcError } from './rpc-error.ts';

/** The blocks of one height. State read as of a tipset has the effects of all messages below it, none of its own. */
export interface Tipset {
  /** CIDs of its blocks. */
  key: string[];
  height: number;
  /** Unix time, in seconds. */
  timestampSeconds: number;
}

/** `tipset`: as of which state is read (a tipset's key); the head when absent. */
export interface ReadOptions {
  tipset?: readonly string[];
  signal?: AbortSignal | undefined;
}

const tipset = Type.Object({
  Cids: Type.Array(cidLink, { minItems: 1 }),
  Blocks: Type.Array(Type.Object({ Timestamp: Type.Integer({ minimum: 0 }) }), { minItems: 1 }),
  Height: Type.Integer({ minimum: 0 }),
});

function readTipset({ Cids, Blocks, Height }: Static<typeof tipset>): Tipset {
  return { key: Cids.map((cid) => cid['/']), height: Height, timestampSeconds: Blocks[0]?.Timestamp ?? 0 };
}

export const parseTipset = answerParser(tipset, readTipset);
export const parseNetworkName = answerParser(Type.String({ minLength: 1 }), (name) => name);

/** A tipset key as parameter; null stands for the head. */
export function tipsetParam(key: readonly string[] | undefined): { '/': string }[] | null {
  return key === undefined ? null : key.map((cid) => ({ '/': cid }));
}

export async function readHead(rpc: Rpc, signal?: AbortSignal): Promise<Tipset> {
  return parseTipset(await rpc.call('ChainHead', [], signal), 'ChainHead');
}

/** The tipset at this height, or, where that round was empty, the one before. Beyond the head is an RpcError. */
export async function readTipsetAt(rpc: Rpc, height: number, signal?: AbortSignal): Promise<Tipset> {
  const method = 'ChainGetTipSetByHeight';
  const found = parseTipset(await rpc.call(method, [height, null], signal), method);
  if (found.height > height) throw badResult(`a tipset of height ${found.height} for ${height}`, method);
  return found;
}

/** The last tipset that will never be undone: by F3 where the node knows it, else what Expected Consensus promises. */
export async function readFinalized(rpc: Rpc, signal?: AbortSignal): Promise<Tipset> {
  const method = 'ChainGetFinalizedTipSet';
  try {
    return parseTipset(await rpc.call(method, [], signal), method);
  } catch (error) {
    if (!(error instanceof RpcError) || error.code !== 'RPC_METHOD_NOT_FOUND') throw error;
  }
  const head = await readHead(rpc, signal);
  return readTipsetAt(rpc, Math.max(0, head.height - EC_FINALITY_EPOCHS), signal);
}

export async function readGenesis(rpc: Rpc, signal?: AbortSignal): Promise<Tipset> {
  return parseTipset(await rpc.call('ChainGetGenesis', [], signal), 'ChainGetGenesis');
}

/** As the node names it: `mainnet`, `calibrationnet`, or anything on a local chain. */
export async function readNetworkName(rpc: Rpc, signal?: AbortSignal): Promise<string> {
  return parseNetworkName(await rpc.call('StateNetworkName', [], signal), 'StateNetworkName');
}
