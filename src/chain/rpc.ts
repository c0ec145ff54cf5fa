import { systemClock, type Clock } from '../clock.ts';
import { LadingError } from '../errors.ts';
import { isForeignChain, type Admit } from './admission.ts';
import type { Standing } from './compare-nodes.ts';
import type { EndpointHealth } from './endpoint-health.ts';
import type { Outcome, ReadMany, Rpc, Write } from './rpc-call.ts';
import { createEndpoint, outcomeOf, type Endpoint, type RpcRequest } from './rpc-endpoint.ts';
import { isEndpointFault, isOwnLimit, RpcError } from './rpc-error.ts';
import { isReadMethod } from './rpc-methods.ts';
import { closeWire, openWire } from './rpc-wire.ts';
import { surveyNodes } from './survey-nodes.ts';

/** One Lotus-compatible node. The token is sent to this URL alone. */
export interface RpcEndpoint {
  url: string;
  token?: string;
}

export interface RpcOptions {
  /** In order of preference. */
  endpoints: readonly RpcEndpoint[];
  timeoutMs?: number;
  /** Calls in flight at once, at each endpoint. */
  maxConcurrent?: number;
  maxAnswerBytes?: number;
  /** Asked of each endpoint before anything else that it says is believed. */
  admit?: Admit;
  clock?: Clock;
  /** From 0 up to 1: spreads the moments at which a failed endpoint is tried again. */
  random?: () => number;
  /** Told when an endpoint fails, and when it is well again. */
  onHealth?: (health: EndpointHealth) => void;
  /** Told of each request to an endpoint. */
  onRequest?: (request: RpcRequest) => void;
  /** The highest epoch that there can be by now, where the clock tells. */
  lastEpoch?: () => number;
}

/** One endpoint, so that all its reads are of one chain: its fault is theirs. */
export interface RpcNode extends Rpc {
  /** Host and port. */
  readonly host: string;
  /** Others have shown that its answers are false: for an hour it is asked only where no other is left. */
  distrust(): void;
}

/** Reads that stay with one endpoint. */
export interface RpcSession extends RpcNode {
  /** The others that show the same chain, in order of preference. */
  readonly witnesses: readonly RpcNode[];
}

export interface RpcPool extends Rpc {
  /**
   * Sends once, to one endpoint. Whether it arrived is not known after `RPC_WRITE_UNKNOWN`: whoever would send it again
   * looks for it on chain first.
   */
  write<T>(write: Write<T>, signal: AbortSignal): Promise<T>;
  /**
   * Compares the endpoints, and reads from the best there is now and no other. Throws `NODES_DISAGREE` when no majority
   * shows the same chain. `lookbackEpochs`: how far below its head reads are taken, where that is nearer than usual.
   */
  session(signal: AbortSignal, lookbackEpochs?: number): Promise<RpcSession>;
  /** In order of preference. */
  health(): EndpointHealth[];
  close(): void;
}

/** A busy node takes seconds for old state; a call that takes longer is better made to another node, or later. */
const TIMEOUT_MS = 20_000;
/** Public nodes refuse bursts; eight calls in flight read hundreds of deals a second from a near node. */
const MAX_CONCURRENT = 8;
/** The largest answer we ask for is a full page of actor events: 10,000 entries of about 700 bytes. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;

/** May another endpoint answer what this one did not? */
function isElsewhere(error: unknown): error is LadingError {
  return isEndpointFault(error) || isForeignChain(error) || isOwnLimit(error);
}

/** Which fault is told when all endpoints failed: a wrong chain, else what a node said, else what became of a request. */
function weightOf(fault: unknown): number {
  if (isForeignChain(fault)) return 2;
  const isMissing = fault instanceof RpcError && fault.code === 'RPC_METHOD_NOT_FOUND';
  return isMissing || isOwnLimit(fault) ? 1 : 0;
}

function heavier(fault: LadingError, next: LadingError): LadingError {
  return weightOf(next) >= weightOf(fault) ? next : fault;
}

function noEndpoint(method: string): RpcError {
  return new RpcError('RPC_NO_ENDPOINT', 'no endpoint is configured: set CHAIN_RPC_URL', { method, retry: 'never' });
}

function allAhead(): LadingError {
  return new LadingError('CHAIN_FROM_THE_FUTURE', 'the nodes show epochs that by the clock cannot be', {
    retry: 'later',
  });
}

/** A compiler checks this for callers in TypeScript; a write that slips in as a read could be sent twice. */
function checkRead(method: string): void {
  if (isReadMethod(method)) return;
  throw new RpcError('RPC_BAD_PARAMS', 'is not known to be a read, and only reads may be made again', {
    method,
    retry: 'never',
  });
}

/** With these a server turns a request away before it looks into it. */
const TURNED_AWAY: ReadonlySet<number> = new Set([401, 403, 404, 405, 413, 429]);
/** Nobody was there to be sent to. */
const NOT_CONNECTED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH']);

/** What was refused by the node did not happen; of what got no answer nobody knows. */
function writeFault(error: unknown): unknown {
  if (!isEndpointFault(error) || error.code === 'RPC_METHOD_NOT_FOUND') return error;
  const { method, why, code, status } = error;
  if (TURNED_AWAY.has(status ?? 0) || NOT_CONNECTED.has(why)) return error;
  const text = `no answer that tells whether it was done (${code}: ${why}): look before sending it again`;
  return new RpcError('RPC_WRITE_UNKNOWN', text, { method, retry: 'never' });
}

/** What the survey of the last pass found counts for all reads. */
const RANK_OF: Record<Standing, number> = { unknown: 0, agrees: 0, disputed: 0, behind: 4, differs: 8, ahead: 8 };

/** After all but those of another chain. */
const DISTRUSTED_RANK = 8;

/** Watching needs the events of actors most, and has a poor substitute where a node has none. */
const SESSION_METHOD = 'GetActorEventsRaw';

function openEndpoints(options: RpcOptions) {
  const {
    clock = systemClock,
    random = Math.random,
    onHealth,
    onRequest,
    admit,
    maxConcurrent = MAX_CONCURRENT,
  } = options;
  const { timeoutMs = TIMEOUT_MS, maxAnswerBytes = MAX_ANSWER_BYTES } = options;
  const wire = openWire({ timeoutMs, maxAnswerBytes });
  const endpoints = options.endpoints.map(({ url, token }) =>
    createEndpoint(
      { url, host: new URL(url).host, token },
      { wire, clock, random, maxConcurrent, onHealth, onRequest, admitChain: admit },
    ),
  );
  /** Who is well and has the method first, each in order of preference; the others stay, as they are better than none. */
  function inOrder(method: string): Endpoint[] {
    const now = clock.now();
    const rank = ({ health }: Endpoint) =>
      (health.isResting(now) ? 1 : 0) +
      (health.lacks(method, now) ? 2 : 0) +
      RANK_OF[health.snapshot().standing] +
      (health.isDistrusted(now) ? DISTRUSTED_RANK : 0);
    const ranked = endpoints.map((endpoint) => ({ endpoint, rank: rank(endpoint) }));
    return ranked.toSorted((a, b) => a.rank - b.rank).map(({ endpoint }) => endpoint);
  }
  const toNode = ({ host, health, read, readMany }: Endpoint): RpcNode => ({
    host,
    read,
    readMany,
    distrust: () => health.distrusted(clock.now()),
  });
  async function session(signal: AbortSignal, lookbackEpochs?: number): Promise<RpcSession> {
    const nodes = inOrder(SESSION_METHOD);
    const [only] = nodes;
    if (only === undefined) throw noEndpoint('ChainHead');
    if (nodes.length === 1) return { ...toNode(only), witnesses: [] };
    const awake = nodes.filter(({ health }) => !health.isResting(clock.now()));
    const lastEpoch = options.lastEpoch?.() ?? Number.POSITIVE_INFINITY;
    const given = { at: clock.now(), lastEpoch, lookbackEpochs, signal };
    const faults: LadingError[] = [];
    // Those that rest are asked when no other is left.
    for (const some of awake.length > 0 && awake.length < nodes.length ? [awake, nodes] : [nodes]) {
      const survey = await surveyNodes(some, given);
      // In the order of what the survey has shown.
      const [best, ...others] = inOrder(SESSION_METHOD).filter((node) => survey.agreed.includes(node));
      if (best !== undefined) return { ...toNode(best), witnesses: others.map(toNode) };
      faults.push(...survey.faults);
    }
    throw faults.reduce(heavier, allAhead());
  }
  return { wire, endpoints, inOrder, session };
}

/**
 * Calls the endpoints in order of preference until one answers, those that failed of late last. What the chain itself
 * refuses is not asked again; what one node only lacks, such as old state, and an answer of a shape that we do not know,
 * is asked of the others. An endpoint of another chain is passed over like one that fails, and named when no other is
 * left.
 */
export function createRpc(options: RpcOptions): RpcPool {
  const { wire, endpoints, inOrder, session } = openEndpoints(options);

  /** The first endpoint that manages. */
  async function firstOf<T>(method: string, signal: AbortSignal, act: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    let fault: LadingError = noEndpoint(method);
    for (const endpoint of inOrder(method)) {
      signal.throwIfAborted();
      try {
        return await act(endpoint);
      } catch (error) {
        if (!isElsewhere(error)) throw error;
        fault = heavier(fault, error);
      }
    }
    throw fault;
  }

  async function readMany<T>(reads: ReadMany<T>, signal: AbortSignal): Promise<Outcome<T>[]> {
    checkRead(reads.method);
    const outcomes = reads.params.map((): Outcome<T> => ({ error: noEndpoint(reads.method) }));
    let open = reads.params.map((params, at) => ({ params, at }));
    for (const endpoint of inOrder(reads.method)) {
      if (open.length === 0) break;
      signal.throwIfAborted();
      const answers = await endpoint.readMany({ ...reads, params: open.map(({ params }) => params) }, signal);
      answers.forEach((answer, index) => {
        const at = open[index]?.at ?? 0;
        const before = outcomes[at];
        outcomes[at] =
          'error' in answer && before !== undefined && 'error' in before && isElsewhere(answer.error)
            ? { error: heavier(before.error, answer.error) }
            : answer;
      });
      open = open.filter((_, index) => {
        const answer = answers[index];
        return answer !== undefined && 'error' in answer && isElsewhere(answer.error);
      });
    }
    return outcomes;
  }

  return {
    async read(read, signal) {
      checkRead(read.method);
      return await firstOf(read.method, signal, (endpoint) => endpoint.read(read, signal));
    },
    readMany,
    async write(write, signal) {
      const endpoint = await firstOf(write.method, signal, async (one) => {
        await one.admit(signal);
        return one;
      });
      const sent = await outcomeOf(endpoint.send(write, signal));
      if ('error' in sent) throw writeFault(sent.error);
      return sent.value;
    },
    session,
    health: () => endpoints.map(({ health }) => health.snapshot()),
    close: () => closeWire(wire),
  };
}
