import { Counter, Histogram, type Registry } from 'prom-client';
import type { RpcRequest } from '../chain/rpc-endpoint.ts';
import type { JobRun } from '../jobs/jobs.ts';
import type { StoreTold } from './count-store.ts';

/** A request that was answered; one without a route was for no path of ours. */
export interface AnsweredRequest {
  method: string;
  route: string | undefined;
  status: number;
  ms: number;
  /** It goes on until somebody ends it, so that its time says nothing. */
  endless: boolean;
}

/** An answer of a provider, or that there was none. */
export interface ProviderAnswer {
  question: 'propose' | 'status' | 'ask' | 'transports';
  outcome: string;
  /** Why it refused, as one of our codes. */
  refusal?: string;
  ms: number;
}

/** What is counted as it happens. */
export interface Counters extends StoreTold {
  rpcRequested(request: RpcRequest): void;
  jobRan(run: JobRun): void;
  requestAnswered(request: AnsweredRequest): void;
  providerAnswered(answer: ProviderAnswer): void;
  pieceServed(bytes: number): void;
}

/** From a cached read to a node that is given up after 20 s. */
const RPC_SECONDS = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];
/** From `/check` in a millisecond to an upload of hours. */
const HTTP_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300];
/** From a wake-up with nothing to do to the hashing of 32 GiB. */
const JOB_SECONDS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1_800, 7_200];
/** From a file that is in memory to a store that is far and busy. */
const STORE_SECONDS = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1, 5, 30];
/** A deal filter of a provider may take a minute. */
const PROVIDER_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export function createCounters(registry: Registry): Counters {
  return {
    ...chainCounters(registry),
    ...workCounters(registry),
    ...doorCounters(registry),
    ...storeCounters(registry),
  };
}

function chainCounters(registry: Registry): Pick<Counters, 'rpcRequested'> {
  const registers = [registry];
  const requests = new Counter({
    name: 'lading_rpc_requests_total',
    help: 'Requests to nodes of the chain by outcome; a batch is one.',
    labelNames: ['method', 'endpoint', 'outcome'] as const,
    registers,
  });
  const seconds = new Histogram({
    name: 'lading_rpc_request_duration_seconds',
    help: 'From sending a request to a node to its answer or fault.',
    labelNames: ['method', 'endpoint'] as const,
    buckets: RPC_SECONDS,
    registers,
  });
  return {
    rpcRequested({ method, host: endpoint, outcome, ms }) {
      requests.inc({ method, endpoint, outcome });
      seconds.observe({ method, endpoint }, ms / 1_000);
    },
  };
}

function workCounters(registry: Registry): Pick<Counters, 'jobRan' | 'providerAnswered'> {
  const registers = [registry];
  const jobSeconds = new Histogram({
    name: 'lading_job_duration_seconds',
    help: 'How long handlers of jobs took, a batch at a time.',
    labelNames: ['queue', 'outcome'] as const,
    buckets: JOB_SECONDS,
    registers,
  });
  const answers = new Counter({
    name: 'lading_provider_answers_total',
    help: 'What became of questions to storage providers.',
    labelNames: ['question', 'outcome'] as const,
    registers,
  });
  const refusals = new Counter({
    name: 'lading_provider_refusals_total',
    help: 'Proposals that storage providers refused, by reason.',
    labelNames: ['reason'] as const,
    registers,
  });
  const providerSeconds = new Histogram({
    name: 'lading_provider_answer_duration_seconds',
    help: 'From a question to a storage provider to its answer or fault.',
    labelNames: ['question'] as const,
    buckets: PROVIDER_SECONDS,
    registers,
  });
  return {
    jobRan: ({ queue, failed, ms }) => jobSeconds.observe({ queue, outcome: failed ? 'failed' : 'done' }, ms / 1_000),
    providerAnswered({ question, outcome, refusal, ms }) {
      answers.inc({ question, outcome });
      if (refusal !== undefined) refusals.inc({ reason: refusal });
      providerSeconds.observe({ question }, ms / 1_000);
    },
  };
}

function storeCounters(registry: Registry): StoreTold {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'lading_store_operation_duration_seconds',
    help: 'How long the object store took: of reads until their first bytes.',
    labelNames: ['operation', 'outcome'] as const,
    buckets: STORE_SECONDS,
    registers,
  });
  const read = new Counter({ name: 'lading_store_read_bytes_total', help: 'Bytes read from the store.', registers });
  const written = new Counter({
    name: 'lading_store_written_bytes_total',
    help: 'Bytes written to the store, those that were dropped before they were committed too.',
    registers,
  });
  return {
    storeActed: ({ operation, failed, ms }) =>
      seconds.observe({ operation, outcome: failed ? 'failed' : 'done' }, ms / 1_000),
    storeMoved: (direction, bytes) => (direction === 'read' ? read : written).inc(bytes),
  };
}

function doorCounters(registry: Registry): Pick<Counters, 'requestAnswered' | 'pieceServed'> {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'lading_http_request_duration_seconds',
    help: 'From the head of a request to the end of its answer. Streams of events are counted when refused alone.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: HTTP_SECONDS,
    registers,
  });
  const served = new Counter({
    name: 'lading_piece_served_bytes_total',
    help: 'Bytes of pieces that left.',
    registers,
  });
  return {
    requestAnswered({ method, route, status, ms, endless }) {
      if (endless && status < 400) return;
      const place = route === undefined ? { method: 'other', route: 'none' } : { method, route };
      seconds.observe({ ...place, status: `${Math.floor(status / 100)}xx` }, ms / 1_000);
    },
    pieceServed: (bytes) => served.inc(bytes),
  };
}
