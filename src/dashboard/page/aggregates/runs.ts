import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useList } from '../data/use-list.ts';
import { formatCount } from '../format.ts';
import { Bytes } from '../parts/figures.ts';
import { Name } from '../parts/names.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';

interface RunAnswer {
  place: number;
  root: string;
  selector: string | null;
  offset: number;
  length: number;
  partial: boolean;
}

const columns: readonly Column<RunAnswer>[] = [
  { header: 'Place', align: 'end', cell: ({ place }) => html`<span class="figure">${formatCount(place)}</span>` },
  {
    header: 'Upload',
    cell: ({ root, partial }) =>
      html`${part(Name, { text: root, label: 'CID', href: `/dashboard/uploads/${root}` })}${partial && html` <span class="soft">a part</span>`}`,
  },
  { header: 'From byte', align: 'end', cell: ({ offset }) => html`<span class="figure">${formatCount(offset)}</span>` },
  { header: 'Bytes', align: 'end', cell: ({ length }) => part(Bytes, { value: length }) },
  {
    header: 'Selector',
    grows: true,
    minor: true,
    cell: ({ selector }) => part(Name, { text: selector, label: 'selector' }),
  },
];

/** The uploads of an aggregate in the order of the bytes; there may be 100,000. */
export function Runs({ path }: { path: string }): VNode {
  const list = useList<RunAnswer>(`${path}/runs`, { query: { count: true }, topics: ['aggregates'] });
  return part(
    Panel,
    { title: 'Uploads in it', note: 'In the order of the bytes.', flush: true },
    part(ListTable<RunAnswer>, {
      label: 'Uploads of the aggregate',
      list,
      columns,
      rowKey: ({ place }) => String(place),
      empty: part(Empty, { title: 'No upload yet' }, 'Uploads that are complete come here by themselves.'),
    }),
  );
}
