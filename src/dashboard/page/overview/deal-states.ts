import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { Bytes, Count, Time } from '../parts/figures.ts';
import { StateChip } from '../parts/chip.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { Table, type Column } from '../parts/table.ts';
import type { DealsByStateRow } from './overview-answers.ts';

const columns: readonly Column<DealsByStateRow>[] = [
  {
    header: 'State',
    cell: ({ state }) => html`<a href="/dashboard/deals?state=${state}">${part(StateChip, { state })}</a>`,
  },
  { header: 'Deals', align: 'end', cell: ({ deals }) => part(Count, { value: deals }) },
  { header: 'Bytes', align: 'end', cell: ({ bytes }) => part(Bytes, { value: bytes }) },
  { header: 'Oldest change', align: 'end', minor: true, cell: ({ oldestAt }) => part(Time, { at: oldestAt }) },
];

/** States without deals are left out. */
export function DealStates({ rows }: { rows: readonly DealsByStateRow[] }): VNode {
  return part(Table<DealsByStateRow>, {
    label: 'Deals by state',
    compact: true,
    columns,
    rows: rows.filter(({ deals }) => deals > 0),
    rowKey: ({ state }) => state,
    empty: part(Empty, { title: 'No deals yet' }, 'The first is proposed when an aggregate is sealed.'),
  });
}
