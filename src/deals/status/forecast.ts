import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { foldHistory } from './history-fold.ts';
import { findHistoryTime, readHistory, type Stage } from './history-of-stages.ts';
import { outlookOf, type Outlook } from './remaining-time.ts';
import { formatOffsetTime } from './time-format.ts';

/** The stage that something is in, and since when. */
export interface Standing {
  stage: Stage;
  since: Date;
}

export interface EtaActive {
  p50: string | null;
  p95: string | null;
}

export const UNKNOWN_ETA: EtaActive = { p50: null, p95: null };

/** How each stage goes on, by what was measured; empty: nothing is known. */
export type Outlooks = ReadonlyMap<Stage, Outlook>;

/** Pure. When what stands there will be active: half of those alike were sooner than p50, 95 of 100 sooner than p95. */
export function etaActive(outlooks: Outlooks, { stage, since }: Standing, now: Date): EtaActive {
  const outlook = outlooks.get(stage);
  if (outlook === undefined) return UNKNOWN_ETA;
  const elapsedMs = Math.max(0, now.getTime() - since.getTime());
  const at = (share: number) => {
    const totalMs = outlook(elapsedMs, share);
    // Up to whole seconds: more digits would pretend to know more, and less than now is past.
    if (totalMs === undefined) return null;
    return formatOffsetTime(new Date(Math.ceil((since.getTime() + totalMs) / 1_000) * 1_000), 'seconds');
  };
  return { p50: at(0.5), p95: at(0.95) };
}

/** What this process knows of the measured history: all processes the same, as they read it as of the same time. */
export interface Forecast {
  outlooks(): Outlooks;
  /** Brings the history up to date where no other process has, and reads it; true while there is more to fold. */
  refresh(): Promise<boolean>;
}

export function createForecast({ kysely, clock }: { kysely: Kysely<DB>; clock: Clock }): Forecast {
  let known: { asOf: Date | undefined; outlooks: Outlooks } = { asOf: undefined, outlooks: new Map() };
  return {
    outlooks: () => known.outlooks,
    async refresh() {
      if (await foldHistory({ kysely, clock })) return true;
      const asOf = await findHistoryTime(kysely);
      if (asOf === undefined || asOf.getTime() === known.asOf?.getTime()) return false;
      const { lives } = await readHistory(kysely, asOf);
      known = { asOf, outlooks: new Map([...lives].map(([stage, all]) => [stage, outlookOf(all)])) };
      return false;
    },
  };
}
