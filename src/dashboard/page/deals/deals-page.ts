import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ListedDeal } from '../answers.ts';
import { useList } from '../data/use-list.ts';
import { StateChip } from '../parts/chip.ts';
import { Time } from '../parts/figures.ts';
import { Filters, SelectFilter, TextFilter } from '../parts/filters.ts';
import { ChainDealLink, ProviderLink } from '../parts/links.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';

/** In the order of a deal's life. */
const STATES = [
  'signed',
  'sent',
  'accepted',
  'published',
  'active',
  'expired',
  'slashed',
  'missed',
  'rejected',
  'failed',
  'abandoned',
].map((state) => [state, state] as const);
const ENDING = [
  ['', 'Any time'],
  ['7d', 'within 7 days'],
  ['30d', 'within 30 days'],
  ['45d', 'within 45 days'],
  ['90d', 'within 90 days'],
] as const;

const columns: readonly Column<ListedDeal>[] = [
  {
    header: 'Deal',
    cell: ({ id }) => html`<a href=${`/dashboard/deals/${id}`}><code title=${id}>${id.slice(0, 8)}</code></a>`,
  },
  { header: 'State', cell: ({ stage }) => part(StateChip, { state: stage }) },
  { header: 'Provider', cell: ({ miner }) => part(ProviderLink, { id: miner }) },
  { header: 'Chain deal', cell: ({ chainDealID }) => part(ChainDealLink, { id: chainDealID }) },
  {
    header: 'Aggregate',
    align: 'end',
    cell: ({ aggregateId }) =>
      html`<a class="figure" href=${`/dashboard/aggregates/${aggregateId}`}>${aggregateId}</a>`,
  },
  {
    header: 'In words',
    grows: true,
    cell: ({ statusText }) => html`<span class="soft clip" title=${statusText}>${statusText}</span>`,
  },
  { header: 'Changed', align: 'end', cell: ({ lastChanged }) => part(Time, { at: lastChanged }) },
  { header: 'Ends', align: 'end', minor: true, cell: ({ dealExpiration }) => part(Time, { at: dealExpiration }) },
];

/** A filter that is being typed, once it is one that the API takes. */
function whole(text: string | null, pattern: RegExp): string | undefined {
  return text !== null && pattern.test(text) ? text : undefined;
}

export function DealsPage({ query }: PageProps): VNode {
  const filter = {
    state: query.get('state') ?? undefined,
    provider: whole(query.get('provider'), /^[ft]0\d{1,18}$/),
    aggregate: whole(query.get('aggregate'), /^\d{1,18}$/),
    expiring: query.get('expiring') ?? undefined,
  };
  const list = useList<ListedDeal>('/deals', { query: { ...filter, count: true }, topics: ['deals'] });
  const isFiltered = Object.values(filter).some((one) => one !== undefined);
  return part(
    Page,
    { title: 'Deals', note: 'Every proposal to a storage provider, those that came to nothing too.' },
    part(
      Filters,
      {},
      part(SelectFilter, { label: 'State', name: 'state', value: filter.state, choices: [['', 'All'], ...STATES] }),
      part(SelectFilter, { label: 'Ends', name: 'expiring', value: filter.expiring, choices: ENDING }),
      part(TextFilter, { label: 'Provider', name: 'provider', value: query.get('provider'), placeholder: 'f01234' }),
      part(TextFilter, {
        label: 'Aggregate',
        name: 'aggregate',
        value: query.get('aggregate'),
        placeholder: 'its number',
      }),
    ),
    part(
      Panel,
      { flush: true },
      part(ListTable<ListedDeal>, {
        label: 'Deals',
        list,
        columns,
        rowKey: ({ id }) => id,
        empty: isFiltered
          ? part(Empty, { title: 'No deal is like this' }, 'Change or clear the filters.')
          : part(Empty, { title: 'No deal yet' }, 'The first aggregate that is sealed is proposed to providers.'),
      }),
    ),
  );
}
