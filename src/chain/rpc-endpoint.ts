import type { Clock } from '../clock.ts';
import { LadingError } from '../errors.ts';
import { createAdmission, type Admit } from './admission.ts';
import { createHealth, type EndpointHealth, type HealthKeeper } from './endpoint-health.ts';
import { createGate } from './gate.ts';
import type { AnswerParser } from './parse-answer.ts';
import type { Outcome, Read, ReadMany, Rpc, Write } from './rpc-call.ts';
import { readBatch, readResult } from './rpc-envelope.ts';
import { isEndpointFault, isNotOffered, RpcError, type RpcErrorCode } from './rpc-error.ts';
import { postBatch, postCall, type Target, type Wire } from './rpc-wire.ts';

/** One node. Nothing that it says is believed before it has shown that it serves our chain. */
export interface Endpoint extends Rpc {
  /** Host and port. */
  readonly host: string;
  readonly health: HealthKeeper;
  /** Throws when it does not serve our chain. */
  admit(signal: AbortSignal): Promise<void>;
  /** Sends once. The caller has it admitted. */
  send<T>(write: Write<T>, signal: AbortSignal): Promise<T>;
}

/** A request to one endpoint that has ended; a batch is one. */
export interface RpcRequest {
  /** Host and port. */
  host: string;
  /** Without `Filecoin.` */
  method: string;
  outcome: 'ok' | 'aborted' | RpcErrorCode;
  ms: number;
}

export interface EndpointOptions {
  wire: Wire;
  clock: Clock;
  random: () => number;
  /** Calls in flight at once. */
  maxConcurrent: number;
  onHealth: ((health: EndpointHealth) => void) | undefined;
  onRequest: ((request: RpcRequest) => void) | undefined;
  admitChain: Admit | undefined;
}

/** Half a second of a node's work and a body of a few KiB; hosted nodes refuse longer lists. */
const BATCH_CALLS = 50;
/** A node learns to take batches by an upgrade. */
const SINGLE_MS = 10 * 60_000;

/** The parser's complaint, with the host it concerns. */
function parseAt<T>(
  answer: unknown,
  { method, parse, host }: { method: string; parse: AnswerParser<T>; host: string },
): T {
  try {
    return parse(answer, method);
  } catch (error) {
    if (error instanceof RpcError && error.code === 'RPC_BAD_RESULT') throw error.at(host);
    throw error;
  }
}

/** What a call came to; what the caller aborted is thrown. */
export async function outcomeOf<T>(answer: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await answer };
  } catch (error) {
    if (error instanceof LadingError) return { error };
    throw error;
  }
}

/** Runs a request when there is room for it, and tells how it went: to the endpoint's health, and to whoever counts. */
function createMeasure(host: string, health: HealthKeeper, options: EndpointOptions) {
  const { clock, maxConcurrent, onRequest } = options;
  const gate = createGate(maxConcurrent);
  return async <T>(method: string, task: () => Promise<T>): Promise<T> => {
    return await gate.run(async () => {
      const begun = performance.now();
      const answered = () => health.answered(clock.now(), performance.now() - begun);
      const tell = (outcome: RpcRequest['outcome']) =>
        onRequest?.({ host, method, outcome, ms: performance.now() - begun });
      try {
        const result = await task();
        answered();
        tell('ok');
        return result;
      } catch (error) {
        tell(error instanceof RpcError ? error.code : 'aborted');
        if (isNotOffered(error)) answered();
        if (isEndpointFault(error) || isNotOffered(error)) health.failed(clock.now(), error);
        else if (error instanceof RpcError) answered();
        throw error;
      }
    });
  };
}

/** Calls without asking whose chain it is. Every call shows how the endpoint fares. */
function createCalls(target: Target, health: HealthKeeper, options: EndpointOptions) {
  const { wire, clock } = options;
  const { host, token } = target;
  const measure = createMeasure(host, health, options);
  let singleUntil = 0;

  function call<T>(
    { method, params, parse, timeoutMs }: Read<T> | (Write<T> & { timeoutMs?: number }),
    signal: AbortSignal,
  ) {
    return measure(method, async () => {
      const answer = await postCall(wire, target, { method, params, signal, timeoutMs });
      return parseAt(readResult(answer, { method, host, token }), { method, parse, host });
    });
  }

  /** Undefined: it takes no batches. */
  async function callBatch<T>({ method, params, parse }: ReadMany<T>, signal: AbortSignal) {
    const outcomes = await measure(method, async () => {
      const answer = await postBatch(wire, target, { method, params, signal });
      return readBatch(answer, params.length, { method, host, token });
    });
    if (outcomes === undefined) singleUntil = clock.now().getTime() + SINGLE_MS;
    return outcomes?.map((outcome): Outcome<T> => {
      if ('error' in outcome) return outcome;
      try {
        return { value: parseAt(outcome.value, { method, parse, host }) };
      } catch (error) {
        if (error instanceof RpcError) return { error };
        throw error;
      }
    });
  }

  async function callSome<T>(reads: ReadMany<T>, signal: AbortSignal): Promise<Outcome<T>[]> {
    const { method, params, parse } = reads;
    if (params.length > 1 && clock.now().getTime() >= singleUntil) {
      const batch = await outcomeOf(callBatch(reads, signal));
      if ('error' in batch) return params.map(() => batch);
      const fault = batch.value
        ?.flatMap((outcome) => ('error' in outcome ? [outcome.error] : []))
        .find(isEndpointFault);
      if (fault !== undefined) health.failed(clock.now(), fault);
      if (batch.value !== undefined) return batch.value;
    }
    return await Promise.all(params.map((one) => outcomeOf(call({ method, params: one, parse }, signal))));
  }

  return { call, callSome };
}

export function createEndpoint(target: Target, options: EndpointOptions): Endpoint {
  const { clock, random, onHealth, admitChain } = options;
  const { host } = target;
  const health = createHealth(host, { random, onChange: onHealth });
  const admission = createAdmission(admitChain, clock);
  const { call, callSome } = createCalls(target, health, options);

  async function readMany<T>(reads: ReadMany<T>, signal: AbortSignal): Promise<Outcome<T>[]> {
    const { params } = reads;
    const chunks = Array.from({ length: Math.ceil(params.length / BATCH_CALLS) }, (_, at) =>
      params.slice(at * BATCH_CALLS, (at + 1) * BATCH_CALLS),
    );
    const outcomes = await Promise.all(chunks.map((chunk) => callSome({ ...reads, params: chunk }, signal)));
    return outcomes.flat();
  }
  const admit = (signal: AbortSignal) => admission.pass({ read: call, readMany }, signal);
  /** After a fault it may come back as another chain. */
  const doubt = (error: unknown) => {
    if (isEndpointFault(error) && error.code !== 'RPC_METHOD_NOT_FOUND') admission.doubt();
  };
  return {
    host,
    health,
    admit,
    send: call,
    async read(read, signal) {
      try {
        await admit(signal);
        return await call(read, signal);
      } catch (error) {
        doubt(error);
        throw error;
      }
    },
    async readMany(reads, signal) {
      const admitted = await outcomeOf(admit(signal));
      if ('error' in admitted) doubt(admitted.error);
      if ('error' in admitted) return reads.params.map(() => admitted);
      const outcomes = await readMany(reads, signal);
      for (const outcome of outcomes) if ('error' in outcome) doubt(outcome.error);
      return outcomes;
    },
  };
}
