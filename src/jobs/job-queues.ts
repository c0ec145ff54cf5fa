import type { QueueOptions, WorkOptions } from 'pg-boss';

/** What a job carries: ids, never facts. */
export interface JobData {
  stow: Record<string, never>;
  cut: { uploadId: string };
  hash: { aggregateId: string };
  seal: { aggregateId: string };
  propose: { aggregateId: string };
  restore: { aggregateId: string };
  send: { dealId: string };
  status: { dealId: string };
  fetch: { root: string };
  pull: { pullId: string };
  pin: Record<string, never>;
}
export type QueueName = keyof JobData;

interface QueueRules {
  /** A deferred job is a timer for a moment of its own: it does not stand for one that is due now. */
  hasTimers?: boolean;
  /** Of equal jobs that wait, one is enough: a new one makes it due at the earlier time of both. */
  mergesWaiting?: boolean;
  queue: QueueOptions & { notify: boolean };
  work: Omit<WorkOptions, 'localConcurrency'> & { localConcurrency: number };
}

const SECOND = 1;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * The largest count that pg-boss's integer column takes: wake-ups of our own stages are retried without limit,
 * because a kill counts as a retry, and a row that is due stays due.
 */
const WITHOUT_LIMIT = 2 ** 31 - 1;

/** What all stage queues share. */
const STAGE = {
  retryLimit: WITHOUT_LIMIT,
  // A fault of the database or disk is often over after a second, and an hour-long one needs no more than a try a minute.
  retryDelay: SECOND,
  retryBackoff: true,
  retryDelayMax: MINUTE,
  // A wake-up that waits longer than this is not lost either: the sweep sends it again.
  retentionSeconds: 30 * DAY,
  // Done wake-ups say nothing that the events do not say; an hour of them is there for a look.
  deleteAfterSeconds: HOUR,
  // A job wakes its handler the moment its transaction commits.
  notify: true,
};

/** A dead worker's job is taken over this long after its last sign of life: the shortest that pg-boss takes. */
const HEARTBEAT_SECONDS = 10;
/** Work on full cores may hold the event loop for seconds: a busy worker must not look dead. */
const BUSY_HEARTBEAT_SECONDS = 30;
/** Longer than any handler of a short stage takes, its network calls' timeouts included. */
const SHORT_STAGE_SECONDS = 15 * MINUTE;
/** Hashing 32 GiB on a slow disk takes hours; a day is the most that pg-boss takes. A dead worker is seen by its heartbeat. */
const SEAL_SECONDS = DAY;
/** Deferred jobs and retries are found by polling alone: an indexed query a second and queue. */
const POLL = { pollingIntervalSeconds: SECOND, notifyPollingIntervalSeconds: SECOND };

/** All queues: what they retry, how long a job may take, how many are taken at once. */
export const QUEUES: Record<QueueName, QueueRules> = {
  stow: {
    hasTimers: true,
    queue: { ...STAGE, heartbeatSeconds: HEARTBEAT_SECONDS, expireInSeconds: SHORT_STAGE_SECONDS },
    // One call drains whatever is due, so many wake-ups are one batch, and one handler at a time is enough.
    work: { ...POLL, batchSize: 1_000, localConcurrency: 1 },
  },
  cut: {
    // Each pass of stowing asks again until the cuts are there.
    mergesWaiting: true,
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One reads all of an upload that is larger than an aggregate, and holds an index of its blocks in memory.
    work: { ...POLL, batchSize: 1, localConcurrency: 1 },
  },
  hash: {
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One job drains an aggregate's chunks; another aggregate's need not wait for it.
    work: { ...POLL, batchSize: 1, localConcurrency: 2 },
  },
  seal: {
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One aggregate keeps a core and the disk busy; two overlap one's reading with the other's hashing.
    work: { ...POLL, batchSize: 1, localConcurrency: 2 },
  },
  propose: {
    // Each pass that leaves slots empty sets a timer, and each refusal wakes another pass: chains that would never end.
    mergesWaiting: true,
    queue: { ...STAGE, heartbeatSeconds: HEARTBEAT_SECONDS, expireInSeconds: SHORT_STAGE_SECONDS },
    // What is known of providers and balances is read once a batch; a provider that does not answer holds up all of it.
    work: { ...POLL, batchSize: 50, localConcurrency: 1, burstWhenBatchFull: true },
  },
  restore: {
    // Each pass of proposing asks again until the bytes are there.
    mergesWaiting: true,
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One fills the line of a whole process for as long as a provider gives, and holds a connection of the pool.
    work: { ...POLL, batchSize: 1, localConcurrency: 1 },
  },
  send: {
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SHORT_STAGE_SECONDS },
    // A provider that hangs holds its handler for a whole timeout: one deal each, and enough of them side by side.
    work: { ...POLL, batchSize: 1, localConcurrency: 8 },
  },
  status: {
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SHORT_STAGE_SECONDS },
    // As sending, but nothing waits for it.
    work: { ...POLL, batchSize: 1, localConcurrency: 4 },
  },
  fetch: {
    // Each request to pin asks for its root, and so does each attempt that was in vain.
    mergesWaiting: true,
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One waits for its origins most of the time, and holds tens of megabytes for its place in the DAG.
    work: { ...POLL, batchSize: 1, localConcurrency: 4 },
  },
  pin: {
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One call drains whatever is due, as with stow; a large upload may hold its lane for hours.
    work: { ...POLL, batchSize: 1_000, localConcurrency: 2 },
  },
  pull: {
    mergesWaiting: true,
    queue: { ...STAGE, heartbeatSeconds: BUSY_HEARTBEAT_SECONDS, expireInSeconds: SEAL_SECONDS },
    // One waits for its origin most of the time; who sends slowly makes room where others wait.
    work: { ...POLL, batchSize: 1, localConcurrency: 4 },
  },
};
export const QUEUE_NAMES = Object.keys(QUEUES) as QueueName[];
