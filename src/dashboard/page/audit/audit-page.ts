import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useList } from '../data/use-list.ts';
import { useMayAct } from '../data/session.ts';
import { Nothing, Time } from '../parts/figures.ts';
import { Filters, TextFilter } from '../parts/filters.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { Subject } from '../parts/subject.ts';
import { ListTable, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';

interface Entry {
  at: string;
  actor: string;
  action: string;
  subject: string;
  reason: string | null;
  detail: unknown;
}

const columns: readonly Column<Entry>[] = [
  { header: 'When', cell: ({ at }) => part(Time, { at }) },
  { header: 'Who', cell: ({ actor }) => actor },
  { header: 'Did', cell: ({ action }) => html`<code>${action}</code>` },
  { header: 'To', cell: ({ subject }) => part(Subject, { text: subject }) },
  { header: 'Why', grows: true, cell: ({ reason }) => reason ?? part(Nothing, { why: 'no reason given' }) },
  { header: 'Detail', minor: true, cell: detailOf },
];

/** `replicas=5`, and the rest of what was written down on hover. */
function detailOf({ detail }: Entry): VNode | string {
  if (typeof detail !== 'object' || detail === null || Object.keys(detail).length === 0) return part(Nothing, {});
  const text = Object.entries(detail)
    .map(
      ([name, value]) =>
        `${name}: ${Array.isArray(value) ? value.join(', ') : typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
    )
    .join('; ');
  return html`<span class="clip soft" title=${JSON.stringify(detail)}>${text}</span>`;
}

/** What operators did, and why. */
export function AuditPage({ query }: PageProps): VNode {
  const mayRead = useMayAct();
  const head = {
    title: 'Audit',
    note: 'What operators did, from here and from the command line, and why in their words.',
  };
  if (!mayRead) {
    return part(
      Page,
      head,
      part(Panel, {}, part(Empty, { title: 'For operators' }, 'Log in with a token of role ops to read the audit.')),
    );
  }
  return part(Page, head, part(AuditList, { subject: query.get('subject') }));
}

function AuditList({ subject }: { subject: string | null }): VNode {
  const list = useList<Entry>('/audit', { query: { subject: subject ?? undefined }, topics: ['audit'] });
  const empty =
    subject === null
      ? part(Empty, { title: 'Nothing was done yet' }, 'Every action that changes something is written down here.')
      : part(
          Empty,
          { title: 'Nothing was done to it' },
          'The subject is compared whole: f01000, a deal’s id, policy, aggregate 7.',
        );
  return html`
    ${part(Filters, {}, part(TextFilter, { label: 'Subject', name: 'subject', value: subject, placeholder: 'f01000, policy, aggregate 7, token alice' }))}
    ${part(Panel, { flush: true }, part(ListTable<Entry>, { label: 'Audit', list, columns, rowKey: ({ at, action, subject: to }) => at + action + to, empty }))}
  `;
}
