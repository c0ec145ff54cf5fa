import type { Kysely } from 'kysely';
import { noteChange } from '../log/story.ts';
import type { DB, Json } from './tables.ts';

/** Whose event it is. */
type Subject = { upload: bigint } | { aggregate: bigint } | { deal: string };

interface Told {
  at: Date;
  /** Undefined: it was made just now. */
  from?: string | null | undefined;
  /** The same as `from` where something was learned, or done, that is no change of state. */
  to: string;
  reason?: string | null | undefined;
  /** In words. */
  detail?: string | null | undefined;
  /** Height of the tipset that showed it. */
  epoch?: number | undefined;
  evidence?: Json | undefined;
}

/** Writes an event, in the transaction of what it tells of: PostgreSQL refuses a new state without one. */
export async function tellEvent(trx: Kysely<DB>, subject: Subject, told: Told): Promise<void> {
  await tellEvents(trx, [{ subject, told }]);
}

/** As tellEvent, for one and more at once. */
export async function tellEvents(trx: Kysely<DB>, events: readonly { subject: Subject; told: Told }[]): Promise<void> {
  const rows = events.map(({ subject, told }) => ({
    upload_id: 'upload' in subject ? subject.upload : null,
    aggregate_id: 'aggregate' in subject ? subject.aggregate : null,
    deal_id: 'deal' in subject ? subject.deal : null,
    at: told.at,
    from_state: told.from ?? null,
    to_state: told.to,
    reason_code: told.reason ?? null,
    detail: told.detail ?? null,
    epoch: told.epoch === undefined ? null : BigInt(told.epoch),
    evidence: told.evidence ?? null,
  }));
  await trx.insertInto('events').values(rows).execute();
  for (const { subject, told } of events) noteChange(changeText(subject, told));
}

function changeText(subject: Subject, { from, to }: Told): string {
  const [[kind, id] = []] = Object.entries(subject);
  return `${kind} ${id} ${from ?? ''}→${to}`;
}
