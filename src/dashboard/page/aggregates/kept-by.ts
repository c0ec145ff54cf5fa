import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ChoiceAnswer, ListedAggregate, ListedDeal } from '../answers.ts';
import { useList } from '../data/use-list.ts';
import { useResource } from '../data/use-resource.ts';
import { StateChip } from '../parts/chip.ts';
import { Time } from '../parts/figures.ts';
import { ChainDealLink, ProviderLink } from '../parts/links.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import { Choices } from '../deals/choices.ts';

const columns: readonly Column<ListedDeal>[] = [
  {
    header: 'Replica',
    align: 'end',
    cell: ({ slot, generation }) => `${slot + 1}${generation === 0 ? '' : `, renewed ${generation}×`}`,
  },
  { header: 'Provider', cell: ({ miner }) => part(ProviderLink, { id: miner }) },
  {
    header: 'State',
    cell: ({ stage, id }) => html`<a href=${`/dashboard/deals/${id}`}>${part(StateChip, { state: stage })}</a>`,
  },
  { header: 'Chain deal', cell: ({ chainDealID }) => part(ChainDealLink, { id: chainDealID }) },
  { header: 'In words', grows: true, cell: ({ statusText }) => html`<span class="soft">${statusText}</span>` },
  { header: 'Changed', align: 'end', cell: ({ lastChanged }) => part(Time, { at: lastChanged }) },
  { header: 'Ends', align: 'end', minor: true, cell: ({ dealExpiration }) => part(Time, { at: dealExpiration }) },
];

/** Who keeps it: every proposal of it, those that came to nothing too. */
export function KeptBy({ id, replicas }: Pick<ListedAggregate, 'id' | 'replicas'>): VNode {
  const list = useList<ListedDeal>('/deals', { query: { aggregate: id, count: true }, topics: ['deals'] });
  const wanting = replicas === null ? 0 : replicas.wanted - replicas.live;
  const note =
    wanting > 0
      ? `${wanting} of ${replicas?.wanted} replicas have no deal now.`
      : 'Each replica that is wanted has a deal.';
  return part(
    Panel,
    { title: 'Storage providers', note, flush: true },
    part(ListTable<ListedDeal>, {
      label: 'Deals of the aggregate',
      list,
      columns,
      rowKey: ({ id: deal }) => deal,
      empty: part(Empty, { title: 'Nothing proposed yet' }, 'The decisions below say why.'),
    }),
  );
}

/** Why these providers, and why not the others. */
export function Decisions({ path }: { path: string }): VNode {
  const resource = useResource<{ items: ChoiceAnswer[] }>(`${path}/choices`, {
    query: { limit: 5 },
    topics: ['deals', 'providers', 'policy'],
  });
  return part(
    Panel,
    { title: 'Decisions', note: 'Who was chosen and who was not, the newest first.' },
    part(WithData<{ items: ChoiceAnswer[] }>, { resource, children: ({ items }) => part(Choices, { choices: items }) }),
  );
}
