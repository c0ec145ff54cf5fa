import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ProviderAnswer } from '../answers.ts';
import { formatCount, formatDuration, formatShare, plainWords } from '../format.ts';
import { Chip, StateChip } from '../parts/chip.ts';
import { Count, Time } from '../parts/figures.ts';
import { Meter } from '../parts/meter.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { Table, type Column } from '../parts/table.ts';

export interface Outcome {
  state: string;
  reasonCode: string | null;
  count: number;
  last: string;
  counts: 'for' | 'against' | null;
}

const EPOCH_SECONDS = 30;

/** What the score is made of, so that anybody can reckon it again. */
export function ScorePanel({ standing }: Pick<ProviderAnswer, 'standing'>): VNode {
  const { score, sureShare, freshness, successes, failures, proven, lastOutcome, epochsBeforeStart } = standing;
  const total = successes + failures;
  const quick =
    epochsBeforeStart === null
      ? ''
      : ` Sectors are active ${formatDuration(epochsBeforeStart * EPOCH_SECONDS)} before the deal's start, on average: of equal scores the quicker wins.`;
  return part(
    Panel,
    {
      title: 'Score, explained',
      note: 'Higher scores are chosen first; scores within 0.05 count as equal, then price and quickness decide.',
    },
    html`<div class="score">
      ${part(ScorePart, {
        name: 'Surely goes well',
        value: sureShare,
        why:
          total === 0
            ? 'no deal has ended yet'
            : `${formatCount(successes)} of ${formatCount(total)} went well; with so many, the true share is at least this (95 % sure)`,
      })}
      <span class="score-sign" aria-label="times">×</span>
      ${part(ScorePart, {
        name: 'Freshness',
        value: freshness,
        why: html`${lastOutcome === null ? 'nothing has ended yet' : html`last outcome ${part(Time, { at: lastOutcome })}`}; evidence counts half after 30 days`,
      })}
      <span class="score-sign" aria-label="is">=</span>
      ${part(ScorePart, { name: 'Score', value: score, why: proven ? 'proven by ten outcomes or more' : 'not proven yet: fewer than ten outcomes' })}
    </div>
    ${quick !== '' && html`<p class="why-text">${quick}</p>`}`,
  );
}

function ScorePart({ name, value, why }: { name: string; value: number; why: VNode | string }): VNode {
  return html`<div class="score-part">
    <span class="stat-label">${name}</span>
    <span class="stat-value">${value.toFixed(3)}</span>
    ${part(Meter, { label: name, value, max: 1, tone: 'good', text: '' })}
    <span class="stat-hint">${why}</span>
  </div>`;
}

const COUNTS = { for: ['good', 'for it'], against: ['bad', 'against it'] } as const;

function columnsFor(total: number): readonly Column<Outcome>[] {
  return [
    { header: 'Became', cell: ({ state }) => part(StateChip, { state }) },
    { header: 'Reason', grows: true, cell: ({ reasonCode }) => (reasonCode === null ? '–' : plainWords(reasonCode)) },
    { header: 'Deals', align: 'end', cell: ({ count }) => part(Count, { value: count }) },
    { header: 'Share', align: 'end', cell: ({ count }) => formatShare(count / total) },
    {
      header: 'Counts',
      cell: ({ counts }) =>
        counts === null
          ? html`<span class="soft">neither way</span>`
          : part(Chip, { tone: COUNTS[counts][0] }, COUNTS[counts][1]),
    },
    { header: 'Last', align: 'end', cell: ({ last }) => part(Time, { at: last }) },
  ];
}

/** How its deals of the last half year went, the most frequent first; refusals among them. */
export function OutcomesPanel({ outcomes }: { outcomes: readonly Outcome[] }): VNode {
  const total = outcomes.reduce((sum, { count }) => sum + count, 0);
  return part(
    Panel,
    { title: 'What became of its deals', note: 'Of the last half year, by state and reason.', flush: true },
    part(Table<Outcome>, {
      label: 'Outcomes',
      columns: columnsFor(total),
      rows: outcomes.toSorted((a, b) => b.count - a.count),
      rowKey: ({ state, reasonCode }) => `${state} ${reasonCode}`,
      empty: part(Empty, { title: 'No deal with it yet' }),
    }),
  );
}
