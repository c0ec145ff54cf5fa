import * as http from 'node:http';
import * as https from 'node:https';
import { describeError } from '../../errors.ts';
import { ClusterRefused, ClusterUnreachable } from './cluster-fault.ts';

/** Where the REST API of the cluster is, and what it wants to hear first. */
export interface ClusterAddress {
  url: string;
  /** `Authorization` as it is sent; undefined: none. */
  authorization: string | undefined;
}

export interface ClusterCall {
  method: 'GET' | 'POST' | 'DELETE';
  /** With its query, from the API's root on. */
  path: string;
  body?: { headers: Readonly<Record<string, string | number>>; chunks: AsyncIterable<Uint8Array> };
  signal: AbortSignal;
}

export interface ClusterAnswer {
  text: string;
  /** The answer broke off, or said at its end that it is not all. */
  isCut: boolean;
}

/**
 * Without a byte in either direction for so long the cluster is given up. It asks its own peers for at most 15 s, and after
 * the last byte of a CAR it waits until its peers have all blocks.
 */
const SILENCE_MS = 120_000;
/** 120 CIDs with a hundred peers each are some megabytes. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** More of an answer that is no JSON says nothing to anybody. */
const MAX_SHOWN_CHARS = 200;
/** Sockets kept open for the next call, and for how long: the cluster closes those that are idle for two minutes. */
const KEPT_SOCKETS = 8;
const KEPT_MS = 30_000;

/** Statuses with which a proxy, or the door of the cluster, speaks of all calls and not of this one. */
const OF_ALL_CALLS: ReadonlySet<number> = new Set([401, 403, 407, 429, 502, 503, 504]);

export interface ClusterLine extends Disposable {
  call(call: ClusterCall): Promise<ClusterAnswer>;
}

/** Calls to one cluster, over connections that are kept. `silenceMs` is for tests. */
export function openClusterLine(address: ClusterAddress, silenceMs = SILENCE_MS): ClusterLine {
  const { Agent } = address.url.startsWith('https:') ? https : http;
  const agent = new Agent({ keepAlive: true, maxFreeSockets: KEPT_SOCKETS, timeout: KEPT_MS });
  return {
    call: (call) => answerOf(address, call, { agent, silenceMs }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

interface Sending {
  agent: http.Agent;
  silenceMs: number;
}

async function answerOf(address: ClusterAddress, call: ClusterCall, sending: Sending): Promise<ClusterAnswer> {
  call.signal.throwIfAborted();
  let response: http.IncomingMessage;
  try {
    response = await send(address, call, sending);
  } catch (error) {
    call.signal.throwIfAborted();
    if (error instanceof BodyFault) throw error.cause;
    throw new ClusterUnreachable(`the IPFS Cluster does not answer: ${describeError(error)}`, error);
  }
  const answer = await readAnswer(response, call.signal);
  judgeStatus(response.statusCode ?? 0, answer);
  return answer;
}

/** What was to be sent could not be read: no word about the cluster. */
class BodyFault extends Error {
  override name = 'BodyFault';
}

/** Resolves with the head of the answer, which may come before all of the body went. */
function send(
  address: ClusterAddress,
  call: ClusterCall,
  { agent, silenceMs }: Sending,
): Promise<http.IncomingMessage> {
  const { method, path, body, signal } = call;
  const { request } = address.url.startsWith('https:') ? https : http;
  const { authorization } = address;
  const headers = { ...body?.headers, ...(authorization !== undefined && { authorization }) };
  return new Promise((resolve, reject) => {
    const sent = request(`${address.url}${path}`, { method, agent, headers, signal, timeout: silenceMs });
    sent.once('response', (response) => {
      // Where the answer came before all of the body went, the rest of it never goes.
      response.once('close', () => sent.writableEnded || sent.destroy());
      resolve(response);
    });
    sent.on('error', reject);
    sent.on('timeout', () => sent.destroy(new Error(`nothing came or went for ${silenceMs / 1_000} s`)));
    if (body === undefined) sent.end();
    else pump(body.chunks, sent).catch(reject);
  });
}

/** All of the body, or as much as goes until there is an answer: a refusal need not wait for the rest. */
async function pump(chunks: AsyncIterable<Uint8Array>, sent: http.ClientRequest): Promise<void> {
  let ended = false;
  let wake = () => {};
  for (const event of ['response', 'close']) {
    sent.once(event, () => {
      ended = true;
      wake();
    });
  }
  sent.on('drain', () => wake());
  try {
    for await (const chunk of chunks) {
      if (ended) return;
      if (!sent.write(chunk) && !ended) await new Promise<void>((resolve) => (wake = resolve));
    }
  } catch (cause) {
    sent.destroy();
    throw new BodyFault('the body could not be read', { cause });
  }
  if (!ended) sent.end();
}

async function readAnswer(response: http.IncomingMessage, signal: AbortSignal): Promise<ClusterAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let isCut = false;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    isCut = (response.trailers['x-stream-error'] ?? '') !== '';
  } catch {
    signal.throwIfAborted();
    // What came of a list is good by line.
    isCut = true;
  }
  return { text: Buffer.concat(chunks).toString('utf8'), isCut };
}

function judgeStatus(status: number, { text, isCut }: ClusterAnswer): void {
  if (status >= 200 && status < 300) return;
  const told = messageOf(text);
  const words = told ?? text.slice(0, MAX_SHOWN_CHARS);
  if (status === 401 || status === 403) {
    throw new ClusterUnreachable(`the IPFS Cluster refuses our token (${status} ${words}): set IPFS_CLUSTER_TOKEN`);
  }
  // An error that is not the cluster's own is of something before it.
  if (OF_ALL_CALLS.has(status) || told === undefined || isCut) {
    throw new ClusterUnreachable(`the IPFS Cluster answered ${status}: ${words}`);
  }
  throw new ClusterRefused(status, told);
}

/** Of the cluster's own errors: `{"code":500,"message":"…"}`. */
function messageOf(text: string): string | undefined {
  try {
    const told: unknown = JSON.parse(text);
    if (typeof told !== 'object' || told === null || !('message' in told)) return undefined;
    return typeof told.message === 'string' ? told.message : undefined;
  } catch {
    return undefined;
  }
}
