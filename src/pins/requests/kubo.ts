import type { Log } from '../../log/log.ts';
import { describeError } from '../../errors.ts';
import type { Fetcher } from '../../outgoing/fetcher.ts';

/** A Kubo node of ours, beyond the blocks that it finds. */
export interface Kubo {
  /** Has it connect to a peer; false where that failed, for whatever reason. */
  connect(address: string, signal: AbortSignal): Promise<boolean>;
  /** Its own multiaddrs, each with its peer id; none while it does not answer. */
  addresses(): Promise<readonly string[]>;
}

/** Dialling takes seconds, or is in vain. */
const CONNECT_MS = 15_000;
const ID_MS = 5_000;
const ANSWER_BYTES = 1024 * 1024;
/** Its addresses rarely change, and every list of pins has them. */
const KEPT_MS = 60_000;

interface KuboDeps {
  fetcher: Fetcher;
  url: string;
  log: Log;
  monotonicMs?: () => number;
}

export function createKubo(deps: KuboDeps): Kubo {
  const { log, monotonicMs = () => performance.now() } = deps;
  let kept: { at: number; addresses: Promise<readonly string[]> } | undefined;
  const read = async (): Promise<readonly string[]> => {
    try {
      return addressesOf(await call(deps, 'id', { ms: ID_MS, signal: AbortSignal.timeout(ID_MS) }));
    } catch (error) {
      log.warn({ err: describeError(error) }, 'ipfs.node_silent');
      return [];
    }
  };
  return {
    async connect(address, signal) {
      try {
        await call(deps, `swarm/connect?arg=${encodeURIComponent(address)}`, { ms: CONNECT_MS, signal });
        return true;
      } catch (error) {
        log.info({ address, err: describeError(error) }, 'ipfs.peer_not_reached');
        return false;
      }
    },
    addresses() {
      const now = monotonicMs();
      if (kept === undefined || now - kept.at >= KEPT_MS) kept = { at: now, addresses: read() };
      return kept.addresses;
    },
  };
}

async function call(
  { fetcher, url }: KuboDeps,
  path: string,
  { ms, signal }: { ms: number; signal: AbortSignal },
): Promise<string> {
  using answer = await fetcher.request({
    url: `${url}/api/v0/${path}`,
    method: 'POST',
    limits: { headMs: ms, stallMs: ms, allMs: ms, bodyBytes: ANSWER_BYTES },
    signal,
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(Uint8Array.from(chunk));
  const text = Buffer.concat(chunks).toString();
  if (answer.status !== 200) throw new Error(`the IPFS node answered ${answer.status}: ${text.slice(0, 300)}`);
  return text;
}

function addressesOf(text: string): string[] {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || !('Addresses' in parsed)) return [];
  const { Addresses: addresses } = parsed;
  return Array.isArray(addresses) ? addresses.filter((one) => typeof one === 'string' && one.includes('/p2p/')) : [];
}
