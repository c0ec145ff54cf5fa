import type { VNode } from 'preact';
import { useResource } from '../data/use-resource.ts';
import { formatCount, formatDuration } from '../format.ts';
import { Chart } from '../parts/chart.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import type { DailyRow, PercentilesRow, Report } from './overview-answers.ts';

const DAYS = 30;
const STEPS = 4;
const WEEKS = 26;

function secondsOf(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) / 1_000;
}

/** Aggregates sealed and become active, a day. */
export function DailyChart(): VNode {
  const daily = useResource<Report<DailyRow>>('/ops/daily', {
    query: { limit: DAYS },
    topics: ['aggregates', 'deals'],
  });
  return part(WithData<Report<DailyRow>>, { resource: daily, children: ({ rows }) => drawDaily(rows.toReversed()) });
}

function drawDaily(rows: readonly DailyRow[]): VNode {
  if (rows.length < 2) return part(Empty, { title: 'A curve needs two days' }, 'Come back tomorrow.');
  return part(Chart, {
    label: `Aggregates sealed and active by day, from ${rows[0]?.day} to ${rows.at(-1)?.day}`,
    times: rows.map(({ day }) => secondsOf(day)),
    series: [
      { label: 'Sealed', values: rows.map(({ sealed }) => sealed), filled: true },
      { label: 'Active', values: rows.map(({ active }) => active) },
    ],
    format: formatCount,
  });
}

/** How long the middle one and the slowest took. */
export function TimesChart(): VNode {
  const times = useResource<Report<PercentilesRow>>('/ops/time-percentiles', { query: { limit: STEPS * WEEKS } });
  return part(WithData<Report<PercentilesRow>>, {
    resource: times,
    children: ({ rows }) => drawTimes(rows.filter(({ step }) => step === 'active').toReversed()),
  });
}

function drawTimes(rows: readonly PercentilesRow[]): VNode {
  if (rows.length < 2)
    return part(
      Empty,
      { title: 'A curve needs two weeks' },
      'Times are counted in the week in which an aggregate became active.',
    );
  return part(Chart, {
    label: `Time until active, median and 95th percentile by week, from ${rows[0]?.week} to ${rows.at(-1)?.week}`,
    times: rows.map(({ week }) => secondsOf(week)),
    series: [
      { label: 'p50', values: rows.map(({ p50Seconds }) => p50Seconds) },
      { label: 'p95', values: rows.map(({ p95Seconds }) => p95Seconds) },
    ],
    format: formatDuration,
  });
}
