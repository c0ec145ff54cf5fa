import type { Kysely, UpdateObject } from 'kysely';
import type { DB, Json } from '../db/tables.ts';
import { tellEvent } from '../db/tell-event.ts';
import { canMove, isLive, isOver, type DealState } from './deal-states.ts';

type DealUpdate = UpdateObject<DB, 'deals'>;

/** Columns that change with a move and follow no rule of their own. */
export type MovedColumns = Pick<
  DealUpdate,
  | 'attempts'
  | 'maybe_received'
  | 'next_attempt_at'
  | 'chain_deal_id'
  | 'publish_message'
  | 'published_epoch'
  | 'sector_number'
  | 'sector_start_epoch'
  | 'generation'
  | 'called_off_at'
  | 'next_status_at'
>;

/** One change of one deal. `from` and `to` are the same where only what is known of its sector or message changed. */
export interface DealMove {
  id: string;
  from: DealState;
  to: DealState;
  at: Date;
  /** Moves only if no later attempt is out. */
  ifAttempts?: number;
  columns?: MovedColumns;
  /** `text` is the words of the chain or of the provider. */
  reason?: { code: string | null; text: string };
  /** Height of the tipset that showed it. */
  epoch?: number;
  evidence?: Json;
  /** False where nothing that `/check` shows changed. A new state always shows. */
  shown?: boolean;
}

/** A live deal keeps only the word that a reorg took something back, which its public status then says. */
const REORG = 'reorg';

/** A provider that has just accepted has nothing to tell yet. */
const FIRST_STATUS_MS = 2 * 60_000;

/**
 * What a new state brings with it. An ended deal is settled, but for one that failed or was called off: its provider may
 * still publish it, until the watch knows that it did not.
 */
function columnsOfState({ to, at, reason, columns }: DealMove): DealUpdate {
  const keepsReason = isOver(to) || reason?.code === REORG;
  const mayBePublished = to === 'failed' || (columns?.called_off_at ?? null) !== null;
  return {
    state: to,
    settled_at: isLive(to) || mayBePublished ? null : at,
    next_status_at: to === 'accepted' ? new Date(at.getTime() + FIRST_STATUS_MS) : null,
    reason_code: keepsReason ? (reason?.code ?? null) : null,
    reason_text: keepsReason ? (reason?.text ?? null) : null,
    next_attempt_at: null,
    changed_at: at,
  };
}

/**
 * The one door to a deal's state: compare-and-set with its event, in the given transaction. False when the deal is not
 * in `from` any more; nothing is written then. Throws on a way that the table of deals/deal-states.ts has not.
 */
export async function moveDeal(trx: Kysely<DB>, move: DealMove): Promise<boolean> {
  const { id, from, to, at, ifAttempts, columns = {}, reason, shown = true } = move;
  const moves = from !== to;
  if (moves && !canMove(from, to)) throw new Error(`deal ${id} cannot go from ${from} to ${to}`);
  const { numUpdatedRows } = await trx
    .updateTable('deals')
    .set({ ...(moves ? columnsOfState(move) : shown && { changed_at: at }), ...columns })
    .where('id', '=', id)
    .where('state', '=', from)
    .$if(ifAttempts !== undefined, (update) => update.where('attempts', '=', ifAttempts ?? 0))
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  const { epoch, evidence } = move;
  await tellEvent(trx, { deal: id }, { at, from, to, reason: reason?.code, detail: reason?.text, epoch, evidence });
  return true;
}

/** Of a deal that failed or was called off nothing more can come: its state stays, and no event tells of it. */
export async function settleFailed(trx: Kysely<DB>, id: string, at: Date): Promise<void> {
  await trx
    .updateTable('deals')
    .set({ settled_at: at })
    .where('id', '=', id)
    .where('state', 'in', ['failed', 'abandoned'])
    .where('settled_at', 'is', null)
    .execute();
}
