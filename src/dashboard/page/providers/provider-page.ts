import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ListedDeal, ProviderAnswer } from '../answers.ts';
import { callApi } from '../data/call-api.ts';
import { useMayAct, useSession } from '../data/session.ts';
import { useList } from '../data/use-list.ts';
import { useResource } from '../data/use-resource.ts';
import { addressPage } from '../explorer.ts';
import { formatBytes, formatCount } from '../format.ts';
import { StateChip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Bytes, ExactTime, Fil, Nothing, Time } from '../parts/figures.ts';
import { ChainDealLink } from '../parts/links.ts';
import { Name, OutLink } from '../parts/names.ts';
import { Facts, Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';
import { Timeline, type Happening } from '../parts/timeline.ts';
import type { PageProps } from '../page-props.ts';
import { EditLabels } from './edit-labels.ts';
import { StandingChip } from './providers-page.ts';
import { OutcomesPanel, ScorePanel, type Outcome } from './score.ts';

interface ShownProvider extends ProviderAnswer {
  outcomes: Outcome[];
}

interface AuditEntry {
  at: string;
  actor: string;
  action: string;
  reason: string | null;
  detail: unknown;
}

export function ProviderPage({ params }: PageProps): VNode {
  const id = params['id'] ?? '';
  const provider = useResource<ShownProvider>(`/providers/${encodeURIComponent(id)}`, {
    topics: ['providers', 'deals', 'policy'],
  });
  const { data, reload } = provider;
  return part(
    Page,
    {
      title: `Provider ${id}`,
      up: { href: '/dashboard/providers', text: 'Providers' },
      ...(data !== undefined && {
        actions: html`${part(EditLabels, { provider: data, done: reload })}${part(Actions, { provider: data, reload })}`,
      }),
    },
    part(WithData<ShownProvider>, { resource: provider, children: (found) => part(Body, { provider: found }) }),
  );
}

const ACTS = {
  pause: { label: 'Pause', text: 'Nothing new is proposed to it. Deals in flight go on.', done: 'is paused' },
  resume: { label: 'Resume', text: 'It may be chosen again from now on.', done: 'is enabled' },
  remove: {
    label: 'Remove',
    text: 'It leaves the list. Deals in flight go on; adding it again brings it back.',
    done: 'is removed',
  },
} as const;

function Actions({ provider: { id, state }, reload }: { provider: ProviderAnswer; reload: () => void }): VNode {
  const acts =
    state === 'enabled'
      ? (['pause', 'remove'] as const)
      : state === 'paused'
        ? (['resume', 'remove'] as const)
        : (['resume'] as const);
  return html`${acts.map((act) =>
    part(ActionButton, {
      key: act,
      label: ACTS[act].label,
      title: `${ACTS[act].label} ${id}?`,
      text: ACTS[act].text,
      verb: `${ACTS[act].label} it`,
      done: `${id} ${ACTS[act].done}`,
      isDangerous: act === 'remove',
      act: async (reason) => {
        await callApi(`/providers/${id}/${act}`, { method: 'POST', body: { reason } });
        reload();
      },
    }),
  )}`;
}

function Body({ provider }: { provider: ShownProvider }): VNode {
  const { standing, outcomes, id } = provider;
  const active = outcomes.find(({ state }) => state === 'active')?.count ?? 0;
  const mayAudit = useMayAct();
  return html`${part(
    Stats,
    {},
    part(Stat, {
      label: 'Standing',
      value: part(StandingChip, { provider }),
      hint: standing.refused?.reason ?? 'may be chosen now',
    }),
    part(Stat, {
      label: 'Score',
      value: standing.score.toFixed(2),
      hint: `${formatCount(standing.successes)} went well, ${formatCount(standing.failures)} wrong`,
    }),
    part(Stat, { label: 'Active deals', value: formatCount(active), hint: 'of the last half year' }),
    part(Stat, {
      label: 'Under way',
      value: part(Bytes, { value: standing.inFlight }),
      hint: `${formatCount(standing.proposalsLastHour)} proposed within the hour`,
    }),
  )}
  ${part(ScorePanel, { standing })}
  ${part(OutcomesPanel, { outcomes })}
  ${part(Deals, { id })}
  ${part(FactsPanel, { provider })}
  ${mayAudit && part(Acts, { id })}`;
}

const dealColumns: readonly Column<ListedDeal>[] = [
  {
    header: 'Deal',
    cell: ({ id }) => html`<a href=${`/dashboard/deals/${id}`}><code title=${id}>${id.slice(0, 8)}</code></a>`,
  },
  { header: 'State', cell: ({ stage }) => part(StateChip, { state: stage }) },
  { header: 'Chain deal', cell: ({ chainDealID }) => part(ChainDealLink, { id: chainDealID }) },
  {
    header: 'Aggregate',
    align: 'end',
    cell: ({ aggregateId }) =>
      html`<a class="figure" href=${`/dashboard/aggregates/${aggregateId}`}>${aggregateId}</a>`,
  },
  { header: 'In words', grows: true, cell: ({ statusText }) => html`<span class="soft">${statusText}</span>` },
  { header: 'Changed', align: 'end', cell: ({ lastChanged }) => part(Time, { at: lastChanged }) },
];

function Deals({ id }: { id: string }): VNode {
  const list = useList<ListedDeal>('/deals', { query: { provider: id, count: true }, topics: ['deals'], pageSize: 20 });
  return part(
    Panel,
    { title: 'Deals with it', note: 'The newest first, refusals in its own words.', flush: true },
    part(ListTable<ListedDeal>, {
      label: 'Deals of the provider',
      list,
      columns: dealColumns,
      rowKey: (deal) => deal.id,
      empty: part(Empty, { title: 'Nothing was proposed to it yet' }),
    }),
  );
}

function FactsPanel({ provider: one }: { provider: ShownProvider }): VNode {
  const { network } = useSession();
  const none = part(Nothing, {});
  const sizes = one.ask && `${formatBytes(one.ask.minPieceSize)} to ${formatBytes(one.ask.maxPieceSize)}`;
  const facts = [
    ['On chain', part(OutLink, { href: addressPage(network, one.id) }, one.id)],
    ['Owner', one.owner === null ? none : part(OutLink, { href: addressPage(network, one.owner) }, one.owner)],
    ['Organization', one.org ?? none],
    ['Region', one.region ?? none],
    ['Sector size', part(Bytes, { value: one.sectorSize })],
    [
      'Asks, per GiB and epoch',
      one.ask === null
        ? none
        : html`${part(Fil, { atto: one.ask.price })}; verified ${part(Fil, { atto: one.ask.verifiedPrice })}`,
    ],
    ['Takes pieces of', sizes ?? none],
    ['Asked', part(Time, { at: one.ask?.asked })],
    ['Peer id', part(Name, { text: one.peerId, label: 'peer id' })],
    [
      'Addresses',
      one.multiaddrs.length === 0
        ? none
        : html`${one.multiaddrs.map((address) => html`<code key=${address}>${address} </code>`)}`,
    ],
    ['Addresses from', one.addressSource],
    ['Resolved', html`${part(Time, { at: one.resolved })} ${one.resolveError ?? ''}`],
    ['Last answered', html`${part(Time, { at: one.seen })} ${one.agent ?? ''}`],
    ['Transport that worked', one.transport ?? none],
    [
      'Failures in a row',
      one.failures === 0 ? '0' : html`${one.failures}, rests until ${part(Time, { at: one.retryAt })}`,
    ],
    ['Added', part(ExactTime, { at: one.added })],
  ] as const;
  return part(Panel, { title: 'Facts' }, part(Facts, { facts }));
}

/** What operators did with it; for who may see the audit. */
function Acts({ id }: { id: string }): VNode {
  const main = `f${id.slice(1)}`;
  const audit = useResource<{ items: AuditEntry[] }>('/audit', {
    query: { subject: main, limit: 50 },
    topics: ['audit'],
  });
  return part(
    Panel,
    { title: 'What operators did' },
    part(WithData<{ items: AuditEntry[] }>, {
      resource: audit,
      children: ({ items }) =>
        items.length === 0
          ? part(Empty, { title: 'Nothing yet' })
          : part(Timeline, { label: 'What operators did', happenings: items.map(toHappening) }),
    }),
  );
}

function toHappening({ at, actor, action, reason, detail }: AuditEntry, index: number): Happening {
  return {
    key: `${at} ${index}`,
    at,
    title: `${action} by ${actor}`,
    ...(reason !== null && { text: html`<q>${reason}</q>` }),
    evidence: detail,
  };
}
