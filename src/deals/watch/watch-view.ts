import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { describeError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import type { ChainTipset } from './follow-head.ts';
import type { Credit } from './reconcile.ts';
import { findWatchStatus, saveDegraded, saveFresh, type WatchStatus } from './freshness-store.ts';

/** What the watch of one process remembers between its passes. Nothing in it is needed again after a restart. */
export interface WatchView {
  /** The row of freshness-store.ts as it was last read or written: the API answers without a query for it. */
  status: WatchStatus;
  /** The last pass that left nothing to do, as text: while the chain shows the same, there is nothing to read again. */
  doneWith: string | undefined;
  /** When the chain last showed a new tipset. */
  movedAt: Date | undefined;
  /** How far the round through published deals has come, by chain deal id, where no events tell of them. */
  publishedAfter: bigint;
  /** How far the rounds through deals that are due have come. */
  dueAfter: Record<'starting' | 'ending', DuePosition | undefined>;
  /** Published deals that started up to this height were read at their start. */
  startedBelow: number | undefined;
  /** Chain deals about which the nodes disagree, of this pass. */
  disputed: Set<bigint>;
  /** What the daily reading of all live deals may read at once. */
  credit: Credit;
  /** `f0…` by signing address. */
  clientIds: Map<string, string>;
  /** The tipsets that passes of this process read as of, lowest first, all of one chain. */
  recent: ChainTipset[];
  /** When providers were asked about deals that would else be abandoned unseen, by deal. */
  askedBeforeEnd: Map<string, Date>;
}

/** A place in the order of what is due. */
export interface DuePosition {
  epoch: number;
  id: string;
}

export function createWatchView(): WatchView {
  return {
    status: { asOf: undefined, epoch: undefined },
    doneWith: undefined,
    movedAt: undefined,
    publishedAfter: -1n,
    dueAfter: { starting: undefined, ending: undefined },
    startedBelow: undefined,
    disputed: new Set(),
    credit: { deals: 0, at: undefined },
    clientIds: new Map(),
    recent: [],
    askedBeforeEnd: new Map(),
  };
}

interface Keeping {
  db: Kysely<DB>;
  view: WatchView;
  clock: Clock;
  log: Log;
}

/** `limited`: what the nodes cannot show us, in words for everybody. */
export async function setFresh(keeping: Keeping, epoch: number, limited?: string): Promise<void> {
  const { db, view, clock, log } = keeping;
  if (view.status.degraded !== undefined) log.info({ epoch }, 'watch.recovered');
  const at = clock.now();
  await saveFresh(db, { epoch, limited, at });
  view.status = { asOf: at, epoch, ...(limited !== undefined && { limited }) };
}

/** The reason without the host of the node, which is nobody's business but the operator's, who has the log. */
export function publicReason(error: unknown): string {
  const text = describeError(error);
  const host = hostOf(error);
  return host === undefined ? text : text.replaceAll(` at ${host}`, '').replaceAll(host, 'the node');
}

function hostOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('details' in error)) return undefined;
  const { details } = error;
  if (typeof details !== 'object' || details === null || !('host' in details)) return undefined;
  return typeof details.host === 'string' && details.host !== '' ? details.host : undefined;
}

/** Says once what is wrong; `asOf` stays where it was, so that readers can tell how old what they see is. */
export async function setDegraded(keeping: Keeping, fault: string | Error): Promise<void> {
  const { db, view, clock, log } = keeping;
  const reason = typeof fault === 'string' ? fault : publicReason(fault);
  const before = view.status.degraded;
  if (before?.reason !== reason) {
    log.warn({ reason: typeof fault === 'string' ? fault : describeError(fault) }, 'watch.degraded');
  }
  await saveDegraded(db, reason, clock.now());
  view.status = await findWatchStatus(db, clock);
}
