import type { Kysely } from 'kysely';
import type { OnComplete } from '../../aggregate/receive/receive.ts';
import { addOwner, claimUpload } from '../../aggregate/receive/upload-store.ts';
import { endOwnershipWithin } from '../../aggregate/keep/remove-upload.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { describeError, LadingError } from '../../errors.ts';
import type { JobHandler, Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import { storableText } from '../../storable-text.ts';
import { namesWithToken, TOKEN_GONE } from '../../tokens/has-token.ts';
import type { BlockSource } from './block-source.ts';
import { fetchRoot, type Fetched, type FetchRootDeps } from './fetch-root.ts';
import { Places } from './places.ts';
import { isTurnOfOthers, lockOpen, moveRequests, noteProgress, type OpenRequest } from './request-store.ts';

export interface FetchHandlerDeps extends Omit<FetchRootDeps, 'onKept'> {
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  log: Log;
  random: () => number;
  /** Whom to ask for what has these origins, the nearest first. */
  sourcesOf(origins: readonly string[], signal: AbortSignal): Promise<readonly BlockSource[]>;
  /** Told of complete uploads that a token owns from now on, in the transaction. */
  onOwned?: OnComplete | undefined;
  /** Names that the configuration gives out: their tokens are not revoked. */
  configuredNames: readonly string[];
  /** A request that gets no block for so long fails. */
  giveUpMs: number;
  /** How long one attempt may take; what is not here by then goes on behind all who wait. */
  turnMs?: number;
}

/** Long enough to ask every source that a request may name, so that none keeps the next from its turn. */
const TURN_MS = 45 * 60_000;

/** Requests of one root that one attempt is for; more of them are settled by the next. */
const MAX_REQUESTS = 1_000;
/** Of all requests of the root together. */
const MAX_ORIGINS = 100;

/** Until whose owner has all places that it may looks again. */
const CROWDED_WAIT_MS = 30_000;
const FIRST_WAIT_MS = 10_000;
const MAX_WAIT_MS = 3_600_000;
/** Doubling beyond this says nothing more. */
const MAX_DOUBLINGS = 10;

/** Pure: how long after an attempt in vain the next begins. */
export function waitAfter(attempts: number, random: () => number): number {
  const wait = Math.min(FIRST_WAIT_MS * 2 ** Math.min(attempts, MAX_DOUBLINGS), MAX_WAIT_MS);
  return wait * (0.8 + 0.4 * random());
}

type Outcome = { to: 'pinned' } | { to: 'failed' | 'queued'; detail: string };

/** Pure: what an attempt, or what went wrong in it, makes of a request. */
export function decideRequest(
  fetched: Fetched | { error: unknown },
  { idleMs, giveUpMs }: { idleMs: number; giveUpMs: number },
): Outcome {
  if ('complete' in fetched && fetched.complete) return { to: 'pinned' };
  const detail = storableText(
    'error' in fetched ? describeError(fetched.error) : fetched.faults.join('; ') || 'no source has it',
  );
  const isHopeless = 'error' in fetched && fetched.error instanceof LadingError && fetched.error.retry === 'never';
  return { to: isHopeless || idleMs >= giveUpMs ? 'failed' : 'queued', detail };
}

/** The handler of `fetch`: one attempt at all requests of a root that are due. */
export function createFetchHandler(deps: FetchHandlerDeps): JobHandler<'fetch'> {
  const places = new Places();
  return async (due, signal) => {
    for (const { root } of due) {
      const begun = await places.take((crowded) => begin(deps, root, crowded));
      await attempt(deps, { root, begun, signal }).finally(() => places.leave(begun));
    }
  };
}

async function attempt(deps: FetchHandlerDeps, { root, begun, signal }: Omit<Attempt, 'owner'>): Promise<void> {
  const [first] = begun;
  if (first === undefined) return;
  const turn = AbortSignal.timeout(deps.turnMs ?? TURN_MS);
  const fetched = await tryFetch(deps, { root, begun, owner: first.owner, signal: AbortSignal.any([signal, turn]) });
  // What is left undone by a stop is gone on with at the next start.
  if (signal.aborted && !('complete' in fetched && fetched.complete)) return;
  const isTurnOver = turn.aborted && 'faults' in fetched;
  const why = ['it takes long: it is gone on with after others'];
  await settle(deps, { root, begun, fetched: isTurnOver ? { ...fetched, faults: why } : fetched, isTurnOver });
}

async function begin(
  { kysely, jobs, clock, configuredNames }: FetchHandlerDeps,
  root: string,
  crowded: readonly string[],
): Promise<readonly OpenRequest[]> {
  return await kysely.transaction().execute(async (trx) => {
    const at = clock.now();
    if (await isTurnOfOthers(trx, root, crowded)) {
      await jobs.send(trx, 'fetch', { root }, { startAfter: new Date(at.getTime() + CROWDED_WAIT_MS) });
      return [];
    }
    const due = await lockOpen(trx, root, { due: true, limit: MAX_REQUESTS });
    const owners = due.map(({ owner }) => owner);
    const named = await namesWithToken(trx, owners, configuredNames);
    const { asked = [], gone = [] } = Object.groupBy(due, ({ owner }) => (named.has(owner) ? 'asked' : 'gone'));
    await moveRequests(trx, gone, { to: 'failed', at, detail: TOKEN_GONE.message });
    const queued = asked.filter(({ state }) => state === 'queued');
    await moveRequests(trx, queued, { to: 'pinning', at });
    return asked;
  });
}

interface Attempt {
  root: string;
  begun: readonly OpenRequest[];
  owner: string;
  signal: AbortSignal;
}

/** Pure: one of each owner in turn, so that no owner's many keep another's from being asked. */
export function originsInTurn(requests: readonly Pick<OpenRequest, 'owner' | 'origins'>[]): string[] {
  const byOwner = [...Map.groupBy(requests, ({ owner }) => owner).values()];
  const lines = byOwner.map((theirs) => [...new Set(theirs.flatMap(({ origins }) => origins))].slice(0, MAX_ORIGINS));
  const turns = Array.from({ length: MAX_ORIGINS }, (_, at) => lines.flatMap((line) => line.slice(at, at + 1)));
  return [...new Set(turns.flat())].slice(0, MAX_ORIGINS);
}

async function tryFetch(deps: FetchHandlerDeps, { root, begun, owner, signal }: Attempt) {
  const origins = originsInTurn(begun);
  try {
    const sources = await deps.sourcesOf(origins, signal);
    const onKept = (kept: string) => noteProgress(deps.kysely, kept);
    return await fetchRoot({ ...deps, onKept }, { root, owner, sources, signal });
  } catch (error) {
    return { error };
  }
}

interface Settling extends Pick<Attempt, 'root' | 'begun'> {
  fetched: Fetched | { error: unknown };
  isTurnOver: boolean;
}

/** All that is open of the root: who asked meanwhile gets what came, too. */
async function settle(
  { kysely, jobs, clock, log, random, giveUpMs, onOwned }: FetchHandlerDeps,
  { root, begun, fetched, isTurnOver }: Settling,
): Promise<void> {
  const at = clock.now();
  await kysely.transaction().execute(async (trx) => {
    const open = await lockOpen(trx, root, { limit: MAX_REQUESTS });
    await endUnasked(trx, { root, begun, at });
    for (const request of open) {
      const outcome = decideRequest(fetched, { idleMs: request.idleMs, giveUpMs });
      if (outcome.to !== 'pinned' && request.state === 'queued') continue;
      const waitMs = isTurnOver ? 0 : waitAfter(request.attempts, random);
      await moveRequests(trx, [request], { ...outcome, at, waitMs });
      if (outcome.to === 'pinned') await own(trx, root, { owner: request.owner, at, onOwned });
      if (outcome.to === 'queued')
        await jobs.send(trx, 'fetch', { root }, { startAfter: new Date(at.getTime() + waitMs) });
      log.info({ requestId: request.id, root, ...outcome }, 'pin_request.settled');
    }
  });
}

async function own(
  trx: Kysely<DB>,
  root: string,
  { owner, at, onOwned }: Pick<FetchHandlerDeps, 'onOwned'> & { owner: string; at: Date },
): Promise<void> {
  const upload = await claimUpload(trx, root);
  if (upload === undefined) return;
  await addOwner(trx, upload.id, owner, at);
  await onOwned?.(trx, [upload.id]);
}

/** The request that its blocks were received for was removed meanwhile: then nothing is to stay of it. */
async function endUnasked(
  trx: Kysely<DB>,
  { root, begun, at }: Pick<Attempt, 'root' | 'begun'> & { at: Date },
): Promise<void> {
  const [receiver] = begun;
  if (receiver === undefined) return;
  const rows = await trx
    .selectFrom('pin_requests as r')
    .innerJoin('owners as o', 'o.id', 'r.owner_id')
    .select(['r.id', 'r.state', 'r.gives_ownership'])
    .where('r.root', '=', root)
    .where('o.name', '=', receiver.owner)
    .execute();
  const isAsked = rows.some(({ state }) => state !== 'removed');
  const gave = rows.find(({ id }) => id === receiver.id)?.gives_ownership === true;
  if (!isAsked && gave) await endOwnershipWithin(trx, { root, owner: receiver.owner, at });
}
