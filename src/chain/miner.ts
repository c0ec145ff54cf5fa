import { multiaddr } from '@multiformats/multiaddr';
import { Type, type Static } from 'typebox';
import { FormatError } from '../filecoin/format-error.ts';
import { tipsetParam, type ReadOptions } from './head.ts';
import { answerParser, idText, toIdText, uint } from './parse-answer.ts';
import type { Rpc } from './rpc.ts';

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

/** A provider may publish addresses of a kind we do not know; they must not hide the others. */
function decodeMultiaddr(base64: string): string[] {
  try {
    return [multiaddr(Buffer.from(base64, 'base64')).toString()];
  } catch {
    return [];
  }
}

function readMiner(info: Static<typeof minerInfo>): MinerInfo {
  const given = info.Multiaddrs ?? [];
  const multiaddrs = given.flatMap(decodeMultiaddr);
  if (given.length > 0 && multiaddrs.length === 0) {
    throw new FormatError('INVALID_MULTIADDR', `none of its ${given.length} multiaddrs can be read`);
  }
  return {
    peerId: info.PeerId === null || info.PeerId === '' ? undefined : info.PeerId,
    multiaddrs,
    sectorBytes: BigInt(info.SectorSize),
    owner: toIdText(info.Owner),
    worker: toIdText(info.Worker),
  };
}

export const parseMinerInfo = answerParser(minerInfo, readMiner);

/** `id`: `f0…`. */
export async function readMinerInfo(rpc: Rpc, id: string, options: ReadOptions = {}): Promise<MinerInfo> {
  const method = 'StateMinerInfo';
  return parseMinerInfo(await rpc.call(method, [id, tipsetParam(options.tipset)], options.signal), method);
}
