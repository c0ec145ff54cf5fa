import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import { formatCount } from '../format.ts';
import type { PagedList } from '../data/use-list.ts';
import { Icon } from './icon.ts';
import { Loading, Problem } from './states.ts';
import { part } from './part.ts';

export interface Column<Row> {
  header: string;
  cell: (row: Row) => ComponentChildren;
  /** Figures stand at the end. */
  align?: 'end';
  /** Grows, while the others are as wide as what they hold. */
  grows?: boolean;
  /** Left out on narrow pages: what only helps. */
  minor?: boolean;
}

interface TableProps<Row> {
  /** What it lists, for screen readers: `Deals`. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** Shown instead of rows when there is none. */
  empty?: ComponentChildren;
  /** Few and narrow columns: it stays a table on a phone. */
  compact?: boolean;
}

/** On a phone each row is a card in which every value stands beside its name. */
export function Table<Row>({ label, columns, rows, rowKey, empty, compact = false }: TableProps<Row>): VNode {
  if (rows.length === 0 && empty !== undefined) return html`${empty}`;
  return html`<div class="table-wrap" role="region" aria-label=${label} tabindex="0">
    <table class=${compact ? 'compact' : undefined}>
      <caption class="unseen">${label}</caption>
      <thead>
        <tr>${columns.map((column) => html`<th key=${column.header} scope="col" class=${namesOf(column)}>${titleOf(column)}</th>`)}</tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${rowKey(row)}>
            ${columns.map(
              (column) =>
                html`<td key=${column.header} class=${namesOf(column)} data-label=${column.header}>${column.cell(row)}</td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** What has no name is for buttons; a screen reader is told. */
function titleOf<Row>({ header }: Column<Row>): ComponentChildren {
  return header === '' ? html`<span class="unseen">Actions</span>` : header;
}

function namesOf<Row>({ align, grows, minor }: Column<Row>): string {
  return [align === 'end' && 'end', grows && 'grows', minor && 'minor'].filter(Boolean).join(' ');
}

type ListTableProps<Row> = Omit<TableProps<Row>, 'rows'> & { list: PagedList<Row> };

/** A list of the API (data/use-list.ts) with its pages; loading, empty and broken too. */
export function ListTable<Row>({ list, ...table }: ListTableProps<Row>): VNode {
  const { data, problem, items, reload } = list;
  if (data === undefined)
    return problem === undefined ? part(Loading, { lines: 6 }) : part(Problem, { problem, retry: reload });
  return html`${problem && part(Problem, { problem, retry: reload })}
  ${part(Table<Row>, { ...table, rows: items })}${part(Pager<Row>, { list })}`;
}

/** Nothing where all is on one page. */
export function Pager<Row>({ list }: { list: PagedList<Row> }): VNode | null {
  const { page, pageSize, hasNext, items, data, forward, back } = list;
  if (page === 1 && !hasNext) return null;
  const first = (page - 1) * pageSize + 1;
  const count = data?.count;
  const total = count === undefined ? '' : ` of ${count.exact ? '' : 'about '}${formatCount(count.value)}`;
  return html`<nav class="pager" aria-label="Pages">
    <span class="pager-place" role="status">${formatCount(first)}–${formatCount(first + items.length - 1)}${total}</span>
    <button type="button" class="button" disabled=${page === 1} onClick=${back}>${part(Icon, { name: 'back' })} Back</button>
    <button type="button" class="button" disabled=${!hasNext} onClick=${forward}>Next ${part(Icon, { name: 'next' })}</button>
  </nav>`;
}
