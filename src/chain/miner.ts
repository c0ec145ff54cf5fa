import { multiaddr } from '@multiformats/multiaddr';
import { Type, type Static } from 'typebox';
import { LadingError } from '../errors.ts';
import { tipsetParam, type ReadOptions } from './head.ts';
import { answerParser, idText, toIdText, uint } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';

/** What the chain says of a storage provider. */
export interface MinerInfo {
  peerId: string | undefined;
  /** As text, usually without `/p2p/…`. */
  multiaddrs: string[];
  sectorBytes: bigint;
  /** `f0…` */
  owner: string;
  /** `f0…` */
  worker: string;
}

const minerInfo = Type.Object({
  Owner: idText,
  Worker: idText,
  PeerId: Type.Union([Type.String(), Type.Null()]),
  Multiaddrs: Type.Union([Type.Array(Type.String()), Type.Null()]),
  SectorSize: uint,
});

/**
 * A provider may publish addresses of a kind we do not know, or with control characters for a name, which no database or
 * terminal takes: they must not hide the others.
 */
function decodeMultiaddr(base64: string): string[] {
  try {
    const text = multiaddr(Buffer.from(base64, 'base64')).toString();
    return /\p{Cc}/u.test(text) ? [] : [text];
  } catch {
    return [];
  }
}

function readMiner(info: Static<typeof minerInfo>): MinerInfo & { unreadable: number } {
  const given = info.Multiaddrs ?? [];
  const multiaddrs = given.flatMap(decodeMultiaddr);
  return {
    unreadable: given.length - multiaddrs.length,
    peerId: info.PeerId === null || info.PeerId === '' ? undefined : info.PeerId,
    multiaddrs,
    sectorBytes: BigInt(info.SectorSize),
    owner: toIdText(info.Owner),
    worker: toIdText(info.Worker),
  };
}

export const parseMinerInfo = answerParser(minerInfo, readMiner);

/** `id`: `f0…`. */
export async function readMinerInfo(rpc: Rpc, id: string, options: ReadOptions): Promise<MinerInfo> {
  const params = [id, tipsetParam(options.tipset)];
  const { unreadable, ...info } = await rpc.read(
    { method: 'StateMinerInfo', params, parse: parseMinerInfo },
    options.signal,
  );
  // The provider has written them so, which every node shows alike.
  if (unreadable > 0 && info.multiaddrs.length === 0) {
    throw new LadingError('MINER_ADDRESSES_UNREADABLE', `none of the ${unreadable} multiaddrs of ${id} can be read`);
  }
  return info;
}
