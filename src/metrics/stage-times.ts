import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';

/** One series of a histogram: how many took at least the bound of each bucket and less than that of the next. */
export interface StageTimes {
  family: 'stage' | 'total';
  label: string;
  /** Place among the bounds; 0: below the first. */
  bucket: number;
  items: number;
  seconds: number;
}

const HOUR = 3_600;
/** From a devnet's minutes to the hours at which operators look, and a week. Seconds. */
const BOUNDS = [60, 300, 900, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 60 * HOUR, 72 * HOUR, 168 * HOUR];

const FAMILIES = {
  stage: {
    name: 'lading_stage_duration_seconds',
    label: 'stage',
    labels: ['waiting', 'filling', 'sealing', 'sealed', 'signed', 'accepted', 'published'],
    help: 'How long aggregates stayed in each stage that they have left, as all time has it.',
  },
  total: {
    name: 'lading_time_to_step_seconds',
    label: 'step',
    labels: ['aggregate', 'sealed', 'published', 'active'],
    help: 'From the acceptance of the oldest upload of an aggregate to each step, as all time has it.',
  },
} as const;

/**
 * Of all aggregates that ever were, so that the counts only grow, whichever process tells them and however often it
 * starts anew. The history is up to a minute behind.
 */
export async function readStageTimes(db: Kysely<DB>): Promise<StageTimes[]> {
  const { rows } = await sql<StageTimes>`
    with told as (
      select 'stage' as family, stage as label, extract(epoch from left_at - entered_at)::float8 as seconds
        from ops_stage_times where left_at is not null
      union all
      select 'total', s.step, s.seconds from ops_aggregate_times t cross join lateral (values
        ('aggregate', t.seconds_to_aggregate), ('sealed', t.seconds_to_sealed),
        ('published', t.seconds_to_published), ('active', t.seconds_to_active)) as s (step, seconds)
      where s.seconds is not null
    )
    select family, label, width_bucket(seconds, ${BOUNDS}::float8[]) as bucket, count(*)::float8 as items,
      greatest(sum(seconds), 0) as seconds
    from told group by family, label, bucket`.execute(db);
  return rows;
}

/** Pure: histograms in the text format of Prometheus. The library's own only take what is seen by this process. */
export function stageTimesText(times: readonly StageTimes[]): string {
  return Object.entries(FAMILIES)
    .flatMap(([family, { name, label, labels, help }]) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} histogram`,
      ...labels.flatMap((value) => {
        const own = times.filter((one) => one.family === family && one.label === value);
        return seriesLines(name, `${label}="${value}"`, own);
      }),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

function seriesLines(name: string, label: string, times: readonly StageTimes[]): string[] {
  const below = (buckets: number) =>
    times.filter(({ bucket }) => bucket <= buckets).reduce((sum, { items }) => sum + items, 0);
  const all = below(BOUNDS.length);
  return [
    ...BOUNDS.map((bound, at) => `${name}_bucket{le="${bound}",${label}} ${below(at)}`),
    `${name}_bucket{le="+Inf",${label}} ${all}`,
    `${name}_sum{${label}} ${times.reduce((sum, { seconds }) => sum + seconds, 0)}`,
    `${name}_count{${label}} ${all}`,
  ];
}
