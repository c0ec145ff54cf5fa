import type { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { describeError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import type { Fetcher } from '../outgoing/fetcher.ts';
import { describeChange, formatEventId, type AddressLetter, type Cursor } from './change.ts';
import { deleteDeadLetter, findRedrive, keepDead } from './dead-letter-store.ts';
import { compareCursors } from './outbox.ts';
import { cursorOf, readChanges, type FoundChange } from './read-changes.ts';
import { callWebhook, CallOff, type CallFault } from './webhook-call.ts';
import { isDead, isGone, isRefusal, webhookWaitMs } from './webhook-retry.ts';
import { signBody } from './webhook-signature.ts';
import {
  advanceDead,
  advanceDelivered,
  claimWebhooks,
  mayBeTold,
  passOver,
  releaseAll,
  releaseFailed,
  releaseIdle,
  renewLease,
  type ClaimedWebhook,
  type Hold,
} from './webhook-lease.ts';

export interface DeliveryDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  random: () => number;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
  letter(): AddressLetter;
  secretOf(webhookId: string): string;
  fetcher: Pick<Fetcher, 'request'>;
  /** Names that the configuration gives out: their tokens are not revoked. */
  configuredNames: readonly string[];
  /** A call is tried for so long before it is a dead letter. */
  retryForMs: number;
  /** Names this process among those that deliver. */
  holder: string;
}

/** Changes of one call: about 250 KB. */
const CHANGES_PER_CALL = 500;
/** Webhooks delivered at the same time by one process; each holds a socket and one call's changes. */
const AT_ONCE = 64;

/**
 * Delivers webhooks. Each is one worker while it has something to tell, so that a receiver which is slow or dead keeps
 * nobody else waiting; its changes go in order, and none before the ones ahead of it were taken or given up.
 */
export class WebhookDelivery {
  readonly #deps: DeliveryDeps;
  readonly #working = new Map<string, Promise<void>>();

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
  }

  /** Takes what is due; returns without waiting for its delivery. */
  async step(signal: AbortSignal): Promise<void> {
    const limit = AT_ONCE - this.#working.size;
    if (limit === 0 || signal.aborted) return;
    // A process that stood still for longer than a lease must not be two workers of one webhook.
    const except = [...this.#working.keys()];
    const { kysely, holder, configuredNames } = this.#deps;
    const claimed = await claimWebhooks(kysely, { holder, limit, except, configuredNames });
    for (const webhook of claimed) {
      const work = deliver(this.#deps, webhook, signal)
        .catch((error: unknown) => {
          if (!signal.aborted && !(error instanceof CallOff))
            this.#deps.log.error({ webhook: webhook.id, err: describeError(error) }, 'webhook.broke');
        })
        .finally(() => this.#working.delete(webhook.id));
      this.#working.set(webhook.id, work);
    }
  }

  /** After the signal: when all calls in hand have ended, other processes may go on at once. */
  async stop(): Promise<void> {
    await Promise.all(this.#working.values());
    // A database that is gone by now lets the leases end by themselves.
    await releaseAll(this.#deps.kysely, this.#deps.holder).catch(() => undefined);
  }
}

/** All that the webhook has to tell, call by call, until there is no more or a call fails. */
async function deliver(deps: DeliveryDeps, webhook: ClaimedWebhook, signal: AbortSignal): Promise<void> {
  const hold = { id: webhook.id, holder: deps.holder };
  if (!(await redrive(deps, webhook, { hold, signal }))) return;
  for (let next = webhook; !signal.aborted; ) {
    const page = await readChanges(deps.kysely, next.filter, { after: next.cursor, limit: CHANGES_PER_CALL });
    const changes = untilFailed(page.changes, next.failingTo);
    const last = changes.at(-1);
    if (last === undefined) {
      if (page.done) return void (await releaseIdle(deps.kysely, hold, page.cursor));
      if (!(await passOver(deps.kysely, hold, page.cursor))) return;
      next = { ...next, cursor: page.cursor };
      continue;
    }
    const fault = await call(deps, next, { hold, changes, signal });
    const to = changes.length < page.changes.length ? cursorOf(last) : page.cursor;
    if (!(await settle(deps, { webhook: next, hold, fault, changes, to }))) return;
    next = { ...next, cursor: to, attempts: 0, failingTo: null, failingMs: 0 };
  }
}

/** A call that failed is tried again as it was: what came later has its own time. */
function untilFailed(changes: readonly FoundChange[], failingTo: string | null): readonly FoundChange[] {
  const at = failingTo === null ? -1 : changes.findIndex((change) => formatEventId(cursorOf(change)) === failingTo);
  return at === -1 ? changes : changes.slice(0, at + 1);
}

interface Outcome {
  webhook: ClaimedWebhook;
  hold: Hold;
  /** Undefined: it was taken. */
  fault: CallFault | undefined;
  changes: readonly FoundChange[];
  to: Cursor;
}

/** Writes down what became of a call; true: the next one may follow. */
async function settle(deps: DeliveryDeps, { webhook, hold, fault, changes, to }: Outcome): Promise<boolean> {
  const { kysely, clock, log, random, retryForMs } = deps;
  const [first] = changes;
  const last = changes.at(-1);
  if (fault === undefined || first === undefined || last === undefined) {
    return advanceDelivered(kysely, hold, { cursor: to, at: clock.now() });
  }
  const { error, status } = fault;
  const fields = { webhook: webhook.id, attempts: webhook.attempts + 1, changes: changes.length, error };
  if (isDead({ failingMs: webhook.failingMs, retryForMs, status })) {
    log.error(fields, 'webhook.dead_letter');
    const firstChange = formatEventId(cursorOf(first));
    const dead = { from: webhook.cursor, to: cursorOf(last), firstChange, changes: changes.length, error };
    return advanceDead(kysely, hold, dead);
  }
  log.warn(fields, isGone(status) ? 'webhook.gone' : 'webhook.failed');
  const waitMs = isGone(status) ? undefined : webhookWaitMs(webhook.attempts + 1, random());
  const half = changes[Math.ceil(changes.length / 2) - 1];
  const failingTo = formatEventId(cursorOf((isRefusal(status) && half) || last));
  await releaseFailed(kysely, hold, { error, failingTo, waitMs, cursor: webhook.cursor });
  return false;
}

/** One more try of each dead letter that somebody asked for; false: the lease is lost. */
async function redrive(
  deps: DeliveryDeps,
  webhook: ClaimedWebhook,
  { hold, signal }: { hold: Hold; signal: AbortSignal },
): Promise<boolean> {
  const { kysely } = deps;
  for (let dead = await findRedrive(kysely, webhook.id); dead !== undefined; ) {
    signal.throwIfAborted();
    const changes = await readRange(kysely, webhook, dead);
    const again = { ...webhook, attempts: dead.attempts };
    const fault = changes.length === 0 ? undefined : await call(deps, again, { hold, changes, signal });
    if (!(await renewLease(kysely, hold))) return false;
    if (fault !== undefined) {
      // The others keep waiting, and the calls in order do not wait for all of them.
      await keepDead(kysely, dead.id, fault.error);
      return true;
    }
    await deleteDeadLetter(kysely, dead.id);
    dead = await findRedrive(kysely, webhook.id);
  }
  return true;
}

/** The changes after `from` up to `to`: they were of one call, and so are few. */
async function readRange(kysely: Kysely<DB>, { filter }: ClaimedWebhook, { from, to }: { from: Cursor; to: Cursor }) {
  const found: FoundChange[] = [];
  for (let after = from; ; ) {
    const page = await readChanges(kysely, filter, { after, limit: CHANGES_PER_CALL });
    found.push(...page.changes.filter((change) => compareCursors(cursorOf(change), to) <= 0));
    if (page.done || compareCursors(page.cursor, to) >= 0) return found;
    after = page.cursor;
  }
}

function call(
  deps: DeliveryDeps,
  { id, url, attempts }: ClaimedWebhook,
  { hold, changes, signal }: { hold: Hold; changes: readonly FoundChange[]; signal: AbortSignal },
): Promise<CallFault | undefined> {
  const letter = deps.letter();
  const told = changes.map(({ row, upload }) => describeChange(row, upload, letter));
  const body = JSON.stringify({ webhook: id, changes: told });
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'lading',
    'lading-webhook': id,
    'lading-attempt': String(attempts + 1),
    'lading-signature': signBody(deps.secretOf(id), body, deps.clock.now()),
  };
  // A process that stood still may find others at its work: what they told next must not be followed by this.
  const mayGo = async () => (await renewLease(deps.kysely, hold)) && (await mayBeTold(deps.kysely, id, deps));
  return callWebhook({ url, body, headers, mayGo }, deps.fetcher, signal);
}
