import { Type, type Static } from 'typebox';
import { EC_FINALITY_EPOCHS } from '../filecoin/limits.ts';
import { answerParser, badResult, cidLink, type AnswerParser } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';
import { RpcError } from './rpc-error.ts';

/** The blocks of one height. State read as of a tipset has the effects of all messages below it, none of its own. */
export interface Tipset {
  /** CIDs of its blocks. */
  key: string[];
  height: number;
  /** Unix time, in seconds. */
  timestampSeconds: number;
  /** Key of the tipset before it, where the node tells. */
  parents?: string[];
}

/** `tipset`: as of which state is read (a tipset's key); the head when absent. */
export interface ReadOptions {
  tipset?: readonly string[];
  signal: AbortSignal;
}

const block = Type.Object({
  Timestamp: Type.Integer({ minimum: 0 }),
  Parents: Type.Optional(Type.Union([Type.Array(cidLink), Type.Null()])),
});
const tipset = Type.Object({
  Cids: Type.Array(cidLink, { minItems: 1 }),
  Blocks: Type.Array(block, { minItems: 1 }),
  Height: Type.Integer({ minimum: 0 }),
});

function readTipset({ Cids, Blocks, Height }: Static<typeof tipset>): Tipset {
  const [first] = Blocks;
  const parents = first?.Parents?.map((cid) => cid['/']);
  return {
    key: Cids.map((cid) => cid['/']),
    height: Height,
    timestampSeconds: first?.Timestamp ?? 0,
    // All blocks of a tipset have the same.
    ...(parents !== undefined && { parents }),
  };
}

export const parseTipset = answerParser(tipset, readTipset);
/** Refuses a tipset that lies above this height. */
export function parseTipsetBelow(height: number): AnswerParser<Tipset> {
  return (answer, method) => {
    const found = parseTipset(answer, method);
    if (found.height > height) throw badResult(`a tipset of height ${found.height} for ${height}`, method);
    return found;
  };
}

export const parseNetworkName = answerParser(Type.String({ minLength: 1 }), (name) => name);

/** A tipset key as parameter; null stands for the head. */
export function tipsetParam(key: readonly string[] | undefined): { '/': string }[] | null {
  return key === undefined ? null : key.map((cid) => ({ '/': cid }));
}

export async function readHead(rpc: Rpc, signal: AbortSignal): Promise<Tipset> {
  return await rpc.read({ method: 'ChainHead', params: [], parse: parseTipset }, signal);
}

/** The tipset at this height, or, where that round was empty, the one before. Beyond the head is an RpcError. */
export async function readTipsetAt(rpc: Rpc, height: number, signal: AbortSignal): Promise<Tipset> {
  const parse = parseTipsetBelow(height);
  return await rpc.read({ method: 'ChainGetTipSetByHeight', params: [height, null], parse }, signal);
}

/** The last tipset that will never be undone: by F3 where the node knows it, else what Expected Consensus promises. */
export async function readFinalized(rpc: Rpc, signal: AbortSignal): Promise<Tipset> {
  try {
    return await rpc.read({ method: 'ChainGetFinalizedTipSet', params: [], parse: parseTipset }, signal);
  } catch (error) {
    if (!(error instanceof RpcError) || error.code !== 'RPC_METHOD_NOT_FOUND') throw error;
  }
  const head = await readHead(rpc, signal);
  return readTipsetAt(rpc, Math.max(0, head.height - EC_FINALITY_EPOCHS), signal);
}

export async function readGenesis(rpc: Rpc, signal: AbortSignal): Promise<Tipset> {
  return await rpc.read({ method: 'ChainGetGenesis', params: [], parse: parseTipset }, signal);
}

/** As the node names it: `mainnet`, `calibrationnet`, or anything on a local chain. */
export async function readNetworkName(rpc: Rpc, signal: AbortSignal): Promise<string> {
  return await rpc.read({ method: 'StateNetworkName', params: [], parse: parseNetworkName }, signal);
}
