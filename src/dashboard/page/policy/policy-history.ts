import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useList, type PagedList } from '../data/use-list.ts';
import { Nothing, Time } from '../parts/figures.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { ListTable, type Column } from '../parts/table.ts';
import { ChangeList } from './policy-form.ts';
import { changedTerms, type Terms } from './terms.ts';

interface Version {
  version: number;
  terms: Terms;
  at: string;
  by: string;
  reason: string | null;
}

const PAGE_SIZE = 20;

/** Every version, the newest first, with what it changed of the one before. */
export function PolicyHistory(): VNode {
  const list: PagedList<Version> = useList<Version>('/policy/history', { topics: ['policy'], pageSize: PAGE_SIZE });
  const columns: readonly Column<Version>[] = [
    { header: 'Version', cell: ({ version }) => html`<span class="figure">${version}</span>` },
    { header: 'In force', cell: ({ at }) => part(Time, { at }) },
    { header: 'By', cell: ({ by }) => by },
    { header: 'Changes', grows: true, cell: (version) => changesOf(version, list.items) },
    { header: 'Reason', grows: true, cell: ({ reason }) => reason ?? part(Nothing, { why: 'no reason given' }) },
  ];
  return part(
    Panel,
    { title: 'History', flush: true },
    part(ListTable<Version>, {
      label: 'Versions of the policy',
      list,
      columns,
      rowKey: ({ version }) => String(version),
    }),
  );
}

function changesOf({ version, terms }: Version, versions: readonly Version[]): VNode {
  const before = versions.find((other) => other.version === version - 1);
  if (before === undefined) return html`<span class="soft">${version === 1 ? 'the first' : 'see the next page'}</span>`;
  return part(ChangeList, { changes: changedTerms(before.terms, terms) });
}
