import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { Life } from './remaining-time.ts';

/** How far an aggregate has ever come; a deal that failed does not take it back. `waiting`: an upload that has none yet. */
export type Stage = 'waiting' | 'filling' | 'sealing' | 'sealed' | 'signed' | 'accepted' | 'published';

export interface History {
  /** What happened later is not in it. */
  asOf: Date;
  lives: Map<Stage, Life[]>;
}

const DAY_MS = 24 * 3_600_000;
/** Recent lives tell most of what comes; where these are few, those of a season count. */
const RECENT_DAYS = 14;
const SEASON_DAYS = 90;
const ENOUGH_RECENT = 100;
/** More lives of a stage make no quantile better that anybody could tell; those taken are spread evenly. */
const MAX_LIVES = 1_000;

async function sinceOf(kysely: Kysely<DB>, asOf: Date): Promise<Date> {
  const daysBefore = (days: number) => new Date(asOf.getTime() - days * DAY_MS);
  const { rows } = await sql<{ done: bigint }>`select count(*) as done from (select from aggregate_times
    where active_at > ${daysBefore(RECENT_DAYS)} and active_at <= ${asOf} limit ${ENOUGH_RECENT}) as recent`.execute(
    kysely,
  );
  return daysBefore(Number(rows[0]?.done ?? 0) < ENOUGH_RECENT ? SEASON_DAYS : RECENT_DAYS);
}

/** When the history was last brought up to date; undefined: never yet. */
export async function findHistoryTime(kysely: Kysely<DB>): Promise<Date | undefined> {
  const row = await kysely.selectFrom('history_cursor').select('as_of').executeTakeFirst();
  return row?.as_of ?? undefined;
}

/**
 * The lives of each stage that were lived since the last weeks or months, as of that time: the part of each before is
 * left out, so that what is told is how things go now. One still under way counts up to then.
 */
export async function readHistory(kysely: Kysely<DB>, asOf: Date): Promise<History> {
  const since = await sinceOf(kysely, asOf);
  const { rows } = await sql<Life & { stage: Stage }>`
    with lived as (
      select aggregate_id, stage, entered_at, least(coalesce(left_at, 'infinity'), coalesce(active_at, 'infinity'), ${asOf}::timestamptz) as left_at,
        least(coalesce(active_at, 'infinity'), ${asOf}::timestamptz) as end_at, coalesce(active_at <= ${asOf}, false) as done
      from ops_stage_times where (active_at is null or active_at > ${since}) and entered_at < ${asOf}
      union all
      (select 0, 'waiting', changed_at, ${asOf}::timestamptz, ${asOf}::timestamptz, false from uploads
        where state = 'waiting' and changed_at < ${asOf} order by changed_at, id limit 1)
    ), spread as (
      select *, row_number() over (partition by stage order by hashint8(aggregate_id)) as place from lived
    )
    select stage, done, greatest(0, extract(epoch from ${since}::timestamptz - entered_at) * 1000)::float8 as "from",
      (extract(epoch from left_at - entered_at) * 1000)::float8 as "left",
      (extract(epoch from end_at - entered_at) * 1000)::float8 as "end"
    from spread where place <= ${MAX_LIVES}`.execute(kysely);
  return { asOf, lives: Map.groupBy(rows, ({ stage }) => stage) };
}
