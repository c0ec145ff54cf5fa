import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ProviderAnswer } from '../answers.ts';
import { useList } from '../data/use-list.ts';
import { plainWords } from '../format.ts';
import { Chip, StateChip } from '../parts/chip.ts';
import { Bytes, Count, Fil, Nothing, Time } from '../parts/figures.ts';
import { Filters, SelectFilter, TextFilter } from '../parts/filters.ts';
import { Meter } from '../parts/meter.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import type { PageProps } from '../page-props.ts';
import { AddProvider } from './add-provider.ts';

const STATES = [
  ['', 'All but removed'],
  ['enabled', 'Enabled'],
  ['paused', 'Paused'],
  ['removed', 'Removed'],
] as const;

/** Whether it may be chosen now, in a word; why not, on hover. */
export function StandingChip({ provider }: { provider: ProviderAnswer }): VNode {
  const { state, standing } = provider;
  const { refused } = standing;
  if (refused === null) return part(StateChip, { state, title: 'May be chosen now' });
  if (refused.code === state) return part(StateChip, { state });
  return part(Chip, { tone: 'wait', title: refused.reason }, plainWords(refused.code));
}

const columns: readonly Column<ProviderAnswer>[] = [
  { header: 'Provider', cell: ({ id }) => html`<a href=${`/dashboard/providers/${id}`}><code>${id}</code></a>` },
  { header: 'Standing', cell: (provider) => part(StandingChip, { provider }) },
  {
    header: 'Score',
    grows: true,
    cell: ({ id, standing }) =>
      part(Meter, {
        label: `Score of ${id}`,
        value: standing.score,
        max: 1,
        tone: 'good',
        text: standing.score.toFixed(2),
      }),
  },
  { header: 'Went well', align: 'end', cell: ({ standing }) => part(Count, { value: standing.successes }) },
  { header: 'Went wrong', align: 'end', cell: ({ standing }) => part(Count, { value: standing.failures }) },
  { header: 'Under way', align: 'end', cell: ({ standing }) => part(Bytes, { value: standing.inFlight }) },
  {
    header: 'Asks',
    align: 'end',
    minor: true,
    cell: ({ ask }) => (ask === null ? part(Nothing, { why: 'not asked yet' }) : part(Fil, { atto: ask.price })),
  },
  {
    header: 'Run by',
    minor: true,
    cell: ({ org, region }) => [org, region].filter(Boolean).join(', ') || part(Nothing, { why: 'not told' }),
  },
  { header: 'Answered', align: 'end', cell: ({ seen }) => part(Time, { at: seen }) },
];

export function ProvidersPage({ query }: PageProps): VNode {
  const filter = {
    state: query.get('state') ?? undefined,
    org: query.get('org') ?? undefined,
    region: query.get('region') ?? undefined,
  };
  const list = useList<ProviderAnswer>('/providers', {
    query: { ...filter, count: true },
    topics: ['providers', 'deals', 'policy'],
  });
  const isFiltered = Object.values(filter).some((one) => one !== undefined);
  return part(
    Page,
    {
      title: 'Providers',
      note: 'Who stores pieces for us, and how surely: the figures that the next choice goes by.',
      actions: part(AddProvider, { reload: list.reload }),
    },
    part(
      Filters,
      {},
      part(SelectFilter, { label: 'State', name: 'state', value: filter.state, choices: STATES }),
      part(TextFilter, { label: 'Organization', name: 'org', value: filter.org }),
      part(TextFilter, { label: 'Region', name: 'region', value: filter.region }),
    ),
    part(
      Panel,
      { flush: true },
      part(ListTable<ProviderAnswer>, {
        label: 'Providers',
        list,
        columns,
        rowKey: ({ id }) => id,
        empty: isFiltered
          ? part(Empty, { title: 'No provider is like this' }, 'Change or clear the filters.')
          : part(
              Empty,
              { title: 'No provider yet' },
              'Nothing can be proposed before one is added: here, with POST /providers, or with lading provider add.',
            ),
      }),
    ),
  );
}
