import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ListedAggregate } from '../answers.ts';
import { useList } from '../data/use-list.ts';
import { StateChip } from '../parts/chip.ts';
import { Bytes, Count, Time } from '../parts/figures.ts';
import { Filters, SelectFilter } from '../parts/filters.ts';
import { Meter } from '../parts/meter.ts';
import { Name } from '../parts/names.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';
import { fillOf } from './fill.ts';
import { Replicas } from './replicas.ts';

const STATES = [
  ['', 'All'],
  ['open', 'Open'],
  ['sealing', 'Sealing'],
  ['sealed', 'Sealed'],
] as const;
const KEPT = [
  ['', 'All'],
  ['false', 'Kept here'],
  ['true', 'Released'],
] as const;

const columns: readonly Column<ListedAggregate>[] = [
  { header: 'Number', cell: ({ id }) => html`<a class="figure" href=${`/dashboard/aggregates/${id}`}>${id}</a>` },
  {
    header: 'State',
    cell: ({ state, released }) =>
      html`${part(StateChip, { state })}${released !== null && html` <span class="soft">released</span>`}`,
  },
  { header: 'Fill', grows: true, cell: (one) => part(Meter, { label: `Fill of aggregate ${one.id}`, ...fillOf(one) }) },
  { header: 'Uploads', align: 'end', cell: ({ entryCount }) => part(Count, { value: entryCount }) },
  { header: 'Piece', align: 'end', cell: ({ pieceSize }) => part(Bytes, { value: pieceSize }) },
  { header: 'Piece CID', cell: ({ pieceCid }) => part(Name, { text: pieceCid, label: 'piece CID' }) },
  { header: 'Replicas', cell: ({ replicas }) => part(Replicas, { replicas }) },
  {
    header: 'Oldest upload',
    align: 'end',
    minor: true,
    cell: ({ oldestAccepted }) => part(Time, { at: oldestAccepted }),
  },
  { header: 'Sealed', align: 'end', cell: ({ sealed }) => part(Time, { at: sealed }) },
];

export function AggregatesPage({ query }: PageProps): VNode {
  const filter = { state: query.get('state') ?? undefined, released: query.get('released') ?? undefined, count: true };
  const list = useList<ListedAggregate>('/aggregates', { query: filter, topics: ['aggregates', 'deals', 'policy'] });
  const isFiltered = filter.state !== undefined || filter.released !== undefined;
  return part(
    Page,
    {
      title: 'Aggregates',
      note: 'Uploads packed into pieces: each becomes one CAR, stored as often as the policy wants.',
    },
    part(
      Filters,
      {},
      part(SelectFilter, { label: 'State', name: 'state', value: filter.state, choices: STATES }),
      part(SelectFilter, { label: 'Bytes', name: 'released', value: filter.released, choices: KEPT }),
    ),
    part(
      Panel,
      { flush: true },
      part(ListTable<ListedAggregate>, {
        label: 'Aggregates',
        list,
        columns,
        rowKey: ({ id }) => id,
        empty: isFiltered
          ? part(Empty, { title: 'No aggregate is like this' }, 'Change or clear the filters.')
          : part(Empty, { title: 'No aggregate yet' }, 'The first upload that is complete opens one.'),
      }),
    ),
  );
}
