import type { CID } from 'multiformats/cid';
import { LadingError } from '../../errors.ts';
import { defaultCarLimits } from '../../filecoin/car.ts';
import type { Fetcher, OutgoingAnswer, OutgoingLimits } from '../../outgoing/fetcher.ts';

/** Somebody who has blocks, and is not believed: what comes is to be checked. */
export interface BlockSource {
  /** For logs and for the words to the caller. */
  name: string;
  /** All blocks below this one, as a CAR, parents before children. */
  car(cid: CID, signal: AbortSignal): Promise<SourceAnswer>;
  raw(cid: CID, signal: AbortSignal): Promise<SourceAnswer>;
}

type SourceAnswer = Pick<OutgoingAnswer, 'body'> & Disposable;

/** A node looks for who has a block, which takes a while; one that finds nobody never answers. */
const HEAD_MS = 60_000;
const STALL_MS = 60_000;
const BLOCK_MS = 120_000;
const limits: Partial<OutgoingLimits> = { headMs: HEAD_MS, stallMs: STALL_MS, allMs: Infinity, bodyBytes: Infinity };
const blockLimits = { ...limits, allMs: BLOCK_MS, bodyBytes: defaultCarLimits.maxSectionBytes };

/** A trustless gateway (specs.ipfs.tech/http-gateways/trustless-gateway). */
export function gatewaySource(fetcher: Fetcher, url: string, more: Partial<OutgoingLimits> = {}): BlockSource {
  // Whoever asked for a pin is told of it: the rest of the address of a gateway of ours may be a key.
  const name = new URL(url).origin;
  const ask = async (cid: CID, given: { query: string; accept: string; isBlock: boolean; signal: AbortSignal }) => {
    const answer = await fetcher.request({
      url: `${url}/ipfs/${cid.toString()}?${given.query}`,
      headers: { accept: given.accept },
      limits: { ...(given.isBlock ? blockLimits : limits), ...more },
      reuse: given.isBlock,
      signal: given.signal,
    });
    return checked(answer, name);
  };
  return {
    name,
    car: (cid, signal) =>
      ask(cid, {
        query: 'format=car&dag-scope=all&car-order=dfs&car-dups=n',
        accept: 'application/vnd.ipld.car;version=1;order=dfs;dups=n',
        isBlock: false,
        signal,
      }),
    raw: (cid, signal) => ask(cid, { query: 'format=raw', accept: 'application/vnd.ipld.raw', isBlock: true, signal }),
  };
}

/** A Kubo node of ours, by its RPC: it finds blocks at whom it is connected to, and in its network. */
export function kuboSource(fetcher: Fetcher, url: string): BlockSource {
  const ask = async (path: string, given: { isBlock: boolean; signal: AbortSignal }) => {
    const answer = await fetcher.request({
      url: `${url}/api/v0/${path}`,
      method: 'POST',
      limits: given.isBlock ? blockLimits : limits,
      reuse: given.isBlock,
      signal: given.signal,
    });
    return checked(answer, 'the IPFS node');
  };
  return {
    name: 'the IPFS node',
    car: (cid, signal) => ask(`dag/export?arg=${cid.toString()}&progress=false`, { isBlock: false, signal }),
    raw: (cid, signal) => ask(`block/get?arg=${cid.toString()}`, { isBlock: true, signal }),
  };
}

function checked(answer: OutgoingAnswer, name: string): OutgoingAnswer {
  if (answer.status === 200) return answer;
  answer[Symbol.dispose]();
  throw new LadingError('ORIGIN_REFUSED', `${name} answered ${answer.status}`);
}
