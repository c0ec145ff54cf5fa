import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Received, ReceiveInput } from '../aggregate/receive/receive.ts';
import type { ReceiveLimits } from '../aggregate/receive/receive-limits.ts';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { BadInput, describeError, LadingError } from '../errors.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Log } from '../log/log.ts';
import type { OutgoingLimits } from '../outgoing/fetcher.ts';
import { namesWithToken, TOKEN_GONE } from '../tokens/has-token.ts';
import { originFault } from '../outgoing/origin-fault.ts';
import { afterFault } from './decide-pull.ts';
import { openSource, type Sources } from './open-source.ts';
import {
  claimPull,
  noteOrigin,
  releasePull,
  renewPull,
  RENEW_MS,
  settleFailed,
  settleInterrupted,
  settlePulled,
  type ClaimedPull,
  type PullHold,
} from './pull-lease.ts';
import { doOthersWait, findNextPull } from './pull-store.ts';
import { Spool } from './spool.ts';

export interface PullDeps {
  db: Kysely<DB>;
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  random: () => number;
  log: Pick<Log, 'info' | 'warn'>;
  sources: Sources;
  receive(input: ReceiveInput): Promise<Received>;
  limits: ReceiveLimits;
  /** Where what came already lies. */
  folder: string;
  /** Names that the configuration gives out: their tokens are not revoked. */
  configuredNames: readonly string[];
  /** Names this process among those that fetch. */
  holder: string;
  turn?: Partial<Turn>;
}

/** Of one origin: it holds one of few places, and what it sends slower than this is not worth it (10 KiB/s). */
function fetchLimits({ maxUploadBytes }: ReceiveLimits): OutgoingLimits {
  const stalls = { headMs: 60_000, stallMs: 60_000, stallBytes: 600 * 1024 };
  return { ...stalls, allMs: Infinity, bodyBytes: Number(maxUploadBytes), redirects: 10 };
}

/** How long an origin that is slow holds one of few places while others wait. */
interface Turn {
  renewMs: number;
  turnMs: number;
}

const usualTurn: Turn = { renewMs: RENEW_MS, turnMs: 5 * 60_000 };
/** An origin that sends faster is through with most uploads in its turn, and keeps its place. */
const FAST_BYTES_PER_SECOND = 1024 ** 2;

/** The lease is not ours any more: cancelled, or another's. */
class HoldLost extends Error {}

/** What one attempt knows of itself. */
interface Attempt {
  spool: Spool;
  validator: string | undefined;
  sizeBytes: number | undefined;
  /** Of the spool, when it began. */
  startedAt: number;
}

/** Fetches the pull whose turn it is, whichever job woke us: each job stands for one. */
export async function runNextPull(deps: PullDeps, stop: AbortSignal): Promise<void> {
  for (let id = await findNextPull(deps.db); id !== undefined; id = await findNextPull(deps.db)) {
    if (await runPull(deps, id, stop)) return;
  }
}

/** Fetches one pull as far as it comes, and writes down what became of it. False where another does it. */
export async function runPull(deps: PullDeps, pullId: string, stop: AbortSignal): Promise<boolean> {
  const { db, holder, folder, limits } = deps;
  const hold: PullHold = { id: pullId, holder };
  const pull = await claimPull(db, hold);
  if (pull === undefined) return false;
  const lost = new AbortController();
  const signal = AbortSignal.any([stop, lost.signal]);
  await using spool = await Spool.open(folder, pullId, limits);
  const attempt: Attempt = { spool, validator: pull.validator, sizeBytes: pull.sizeBytes, startedAt: spool.bytes };
  const renewing = keepHold(deps, { pull, hold, attempt }, signal).catch((error: unknown) => lost.abort(error));
  try {
    await checkToken(deps, pull.owner);
    const { root, complete } = await fetchAndReceive(deps, { pull, hold, attempt }, signal);
    if (await settlePulled(db, hold, { root, pulledBytes: spool.bytes })) await spool.remove();
    deps.log.info({ pull: pullId, root, complete, bytes: spool.bytes }, 'pull.done');
  } catch (error) {
    await settleFault(deps, { pull, hold, attempt, stop }, error);
  } finally {
    lost.abort();
    await renewing;
  }
  return true;
}

async function keepHold(deps: PullDeps, { pull, hold, attempt }: Work, signal: AbortSignal): Promise<void> {
  const { renewMs, turnMs } = { ...usualTurn, ...deps.turn };
  const { spool } = attempt;
  for (let comingMs = 0; ; ) {
    await delay(renewMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    if (!(await renewPull(deps.db, hold, spool.bytes)))
      throw new HoldLost('the pull was cancelled, or another goes on with it');
    await checkToken(deps, pull.owner);
    const cameBytes = spool.bytes - attempt.startedAt;
    comingMs = cameBytes > 0 ? comingMs + renewMs : 0;
    const isSlow = comingMs >= turnMs && cameBytes * 1_000 < comingMs * FAST_BYTES_PER_SECOND;
    if (isSlow && (await doOthersWait(deps.db, pull.owner)))
      throw originFault('ORIGIN_SLOW', 'it comes slowly, and others wait: it is gone on with after them');
  }
}

async function checkToken({ db, configuredNames }: Pick<PullDeps, 'db' | 'configuredNames'>, owner: string) {
  if (!(await namesWithToken(db, [owner], configuredNames)).has(owner))
    throw new BadInput(TOKEN_GONE.code, TOKEN_GONE.message);
}

interface Work {
  pull: ClaimedPull;
  hold: PullHold;
  attempt: Attempt;
}

async function fetchAndReceive(deps: PullDeps, { pull, hold, attempt }: Work, signal: AbortSignal): Promise<Received> {
  const { spool } = attempt;
  const input = { owner: pull.owner, signal, ...(pull.wantedRoot !== undefined && { root: pull.wantedRoot }) };
  if (spool.bytes > 0 && spool.bytes === pull.sizeBytes)
    return await deps.receive({ ...input, declaredBytes: spool.bytes, body: spool.through(nothing()) });
  const from =
    spool.bytes > 0 && pull.validator !== undefined ? { offset: spool.bytes, validator: pull.validator } : undefined;
  using download = await openSource(deps.sources, pull.url, { from, limits: fetchLimits(deps.limits), signal });
  const { offset, sizeBytes, validator } = download;
  if (offset !== spool.bytes) await spool.empty();
  Object.assign(attempt, { validator, sizeBytes, startedAt: spool.bytes });
  if (!(await noteOrigin(deps.db, hold, { validator, sizeBytes, pulledBytes: spool.bytes })))
    throw new HoldLost('the pull was cancelled');
  await spool.expect(Math.max(0, (sizeBytes ?? 0) - spool.bytes));
  const declared = sizeBytes === undefined ? {} : { declaredBytes: sizeBytes };
  return await deps.receive({ ...input, ...declared, body: spool.through(download.body) });
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Throws what is a fault of our own, for the job to come again; the pull is free for whoever comes next. */
async function settleFault(
  deps: PullDeps,
  { pull, hold, attempt, stop }: Work & { stop: AbortSignal },
  error: unknown,
): Promise<void> {
  const { db, log } = deps;
  const { spool } = attempt;
  if (error instanceof HoldLost) return log.info({ pull: pull.id, why: error.message }, 'pull.left');
  if (stop.aborted || !(error instanceof LadingError)) {
    await releasePull(db, hold).catch(() => false);
    throw error;
  }
  const { code, message } = error;
  const next = afterFault({
    error,
    resumed: attempt.startedAt > 0,
    cameBytes: spool.bytes - attempt.startedAt,
    keeps: attempt.validator !== undefined,
    attempts: pull.attempts,
    failingMs: pull.failingMs,
    random: deps.random(),
  });
  const settled = { fault: { code, message }, pulledBytes: spool.bytes };
  if (next.kind === 'failed') {
    if (await settleFailed(db, hold, settled)) await spool.remove();
    return log.warn({ pull: pull.id, code, err: describeError(error) }, 'pull.failed');
  }
  if (next.fromStart) await spool.empty();
  const { waitMs, isForward } = next;
  await settleInterrupted(deps, hold, { ...settled, waitMs, isForward, at: deps.clock.now() });
  log.warn({ pull: pull.id, code, err: describeError(error), waitMs }, 'pull.interrupted');
}
