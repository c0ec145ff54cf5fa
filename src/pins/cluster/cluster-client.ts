import { randomUUID } from 'node:crypto';
import type { PinSight } from '../decide-pin.ts';
import { openClusterLine, type ClusterAddress, type ClusterLine } from './cluster-call.ts';
import { ClusterRefused, ClusterUnreachable } from './cluster-fault.ts';
import { readPinInfo } from './pin-info.ts';

/** A CAR with one root, whose length is known before it is read. */
export interface CarToAdd {
  root: string;
  lengthBytes: number;
  chunks: AsyncIterable<Uint8Array>;
}

/** What we ask of an IPFS Cluster. Throws ClusterUnreachable, ClusterRefused, and what reading a CAR throws. */
export interface PinCluster extends Disposable {
  /** Puts the blocks into the cluster's nodes, and pins the root. */
  add(car: CarToAdd, signal: AbortSignal): Promise<void>;
  /** Pins by CID alone: its nodes find the blocks themselves. */
  pin(root: string, signal: AbortSignal): Promise<void>;
  recover(root: string, signal: AbortSignal): Promise<void>;
  /** True, too, when it was not pinned. */
  unpin(root: string, signal: AbortSignal): Promise<void>;
  /** What it says of each; one of which it said nothing is not among them. */
  statuses(roots: readonly string[], signal: AbortSignal): Promise<Map<string, PinSight>>;
  version(signal: AbortSignal): Promise<string>;
}

/** CIDs of one question: with CIDs of 62 characters it is shorter than the 8 KiB that proxies take as a line. */
export const MAX_CIDS = 120;
const MAX_CIDS_CHARS = 7_600;
/** Larger ones go to one peer, and the others fetch them from it: sending every block to every peer holds up the answer. */
const LOCAL_ADD_BYTES = 2.5 * 1024 * 1024;
/** One CID that is refused costs seven refusals of halves; more than so many are no fault of single CIDs. */
const MAX_REFUSALS = 16;
/** By this the pins of a shared cluster are told apart; a pin holds one name, the last one's. */
const PIN_NAME = 'lading';

/** `IPFS_CLUSTER_TOKEN` as the header: `user:password`, a whole header, or else a bearer token. Pure. */
export function authorizationOf(token: string): string {
  if (/^(Basic|Bearer) \S/.test(token)) return token;
  return token.includes(':') ? `Basic ${Buffer.from(token).toString('base64')}` : `Bearer ${token}`;
}

export function openPinCluster(address: ClusterAddress, silenceMs?: number): PinCluster {
  const line = openClusterLine(address, silenceMs);
  const to = (root: string) => `/pins/${encodeURIComponent(root)}`;
  return {
    add: (car, signal) => add(line, car, signal),
    pin: async (root, signal) =>
      void (await line.call({ method: 'POST', path: `${to(root)}?name=${PIN_NAME}`, signal })),
    recover: async (root, signal) => void (await line.call({ method: 'POST', path: `${to(root)}/recover`, signal })),
    unpin: (root, signal) => unpin(line, to(root), signal),
    statuses: (roots, signal) => listStatuses(line, roots, signal),
    version: (signal) => version(line, signal),
    [Symbol.dispose]: () => line[Symbol.dispose](),
  };
}

/** With the answer as one array an error of the middle is a status; as a stream it would be a trailer behind a 200. */
async function add(line: ClusterLine, { root, lengthBytes, chunks }: CarToAdd, signal: AbortSignal): Promise<void> {
  const boundary = `lading-${randomUUID()}`;
  const head = Buffer.from(
    `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${root}.car"\r\n` +
      'content-type: application/vnd.ipld.car\r\n\r\n',
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const headers = {
    'content-type': `multipart/form-data; boundary=${boundary}`,
    'content-length': head.length + lengthBytes + tail.length,
  };
  const local = lengthBytes > LOCAL_ADD_BYTES;
  const query = `format=car&stream-channels=false&name=${PIN_NAME}&local=${local}`;
  const body = { headers, chunks: enclose(head, chunks, tail) };
  const { text, isCut } = await line.call({ method: 'POST', path: `/add?${query}`, body, signal });
  // It says the root once the root is pinned, and not before.
  if (isCut || !text.includes(root)) throw new ClusterUnreachable('the answer of the IPFS Cluster to a CAR broke off');
}

async function* enclose(head: Uint8Array, chunks: AsyncIterable<Uint8Array>, tail: Uint8Array) {
  yield head;
  yield* chunks;
  yield tail;
}

async function unpin(line: ClusterLine, path: string, signal: AbortSignal): Promise<void> {
  try {
    await line.call({ method: 'DELETE', path, signal });
  } catch (error) {
    if (!(error instanceof ClusterRefused && error.status === 404)) throw error;
  }
}

async function version(line: ClusterLine, signal: AbortSignal): Promise<string> {
  const { text } = await line.call({ method: 'GET', path: '/version', signal });
  const [, found] = /"version"\s*:\s*"([^"]{1,100})"/.exec(text) ?? [];
  if (found === undefined) throw new ClusterUnreachable('what answers at IPFS_CLUSTER_URL is no IPFS Cluster REST API');
  return found;
}

async function listStatuses(
  line: ClusterLine,
  roots: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, PinSight>> {
  const found = new Map<string, PinSight>();
  let refusals = 0;
  const ask = async (some: readonly string[]): Promise<void> => {
    try {
      const { text } = await line.call({ method: 'GET', path: `/pins?cids=${some.join(',')}`, signal });
      readLines(text, found);
    } catch (error) {
      if (!(error instanceof ClusterRefused)) throw error;
      refusals += 1;
      const [only] = some;
      if (some.length === 1 && only !== undefined) found.set(only, { kind: 'error', error: error.message });
      else if (refusals > MAX_REFUSALS) throw new ClusterUnreachable(`it refuses all CIDs: ${error.message}`, error);
      else for (const half of halves(some)) await ask(half);
    }
  };
  for (const batch of batches(roots)) await ask(batch);
  return found;
}

/** A line that broke off is no JSON, and its CID goes without an answer. An empty list is 204, without a line. */
function readLines(text: string, found: Map<string, PinSight>): void {
  for (const line of text.split('\n')) {
    const info = line === '' ? undefined : readPinInfo(line);
    if (info !== undefined) found.set(info.root, info.sight);
  }
}

function halves<T>(some: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(some.length / 2);
  return [some.slice(0, middle), some.slice(middle)];
}

function* batches(roots: readonly string[]): Generator<string[]> {
  let batch: string[] = [];
  let chars = 0;
  for (const root of roots) {
    chars += root.length + 1;
    if (batch.length > 0 && (batch.length === MAX_CIDS || chars > MAX_CIDS_CHARS)) {
      yield batch;
      batch = [];
      chars = root.length + 1;
    }
    batch.push(root);
  }
  if (batch.length > 0) yield batch;
}
