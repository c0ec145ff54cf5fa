import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useResource } from '../data/use-resource.ts';
import { Bytes, Count, Nothing, Time } from '../parts/figures.ts';
import { Columns, Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { WithData } from '../parts/states.ts';
import { ProposingButton } from '../policy/proposing-button.ts';
import { AttentionList } from './attention-list.ts';
import { DailyChart, TimesChart } from './charts.ts';
import { DealStates } from './deal-states.ts';
import { Funnel } from './funnel.ts';
import type { Overview } from './overview-answers.ts';
import { Runway } from './runway.ts';
import { Stuck } from './stuck.ts';

const TOPICS = ['uploads', 'aggregates', 'deals', 'providers', 'chain', 'policy', 'jobs'] as const;

/** How everything is, and what to look at first. */
export function OverviewPage(): VNode {
  const overview = useResource<Overview>('/ops/overview', { topics: TOPICS });
  const { data } = overview;
  return part(
    Page,
    {
      title: 'Overview',
      ...(data !== undefined && {
        note: html`As of ${part(Time, { at: data.asOf })}`,
        actions: part(ProposingButton, { proposing: data.policy.proposing, done: overview.reload }),
      }),
    },
    part(WithData<Overview>, { resource: overview, lines: 10, children: shown }),
  );
}

function shown(data: Overview): VNode {
  return html`
    ${part(AttentionList, { items: data.attention })}
    ${part(Figures, { data })}
    ${part(Columns, { wide: true }, [
      part(
        Panel,
        { title: 'Pipeline', note: 'Where everything is, and for how long', flush: true },
        part(Funnel, { rows: data.funnel }),
      ),
      html`<div class="stack">
        ${part(Panel, { title: 'Stuck', note: 'Not moved on for so many hours', flush: true }, part(Stuck, { stuck: data.stuck }))}
        ${part(Panel, { title: 'Runway', note: 'How long it lasts at the rate of the last 28 days' }, part(Runway, { rows: data.runway }))}
      </div>`,
    ])}
    ${part(Columns, {}, [
      part(Panel, { title: 'Sealed and active', note: 'Aggregates a day, the last 30 days' }, part(DailyChart, {})),
      part(
        Panel,
        { title: 'Time to active', note: 'From the oldest upload of an aggregate, by week' },
        part(TimesChart, {}),
      ),
    ])}
    ${part(Panel, { title: 'Deals', note: 'By state', flush: true }, part(DealStates, { rows: data.dealsByState }))}
  `;
}

function Figures({ data }: { data: Overview }): VNode {
  const { chain, providers, store, transfers, expiring } = data;
  const active = data.dealsByState.find(({ state }) => state === 'active');
  const replicas = `${data.policy.replicas} ${data.policy.replicas === 1 ? 'replica' : 'replicas'} wanted`;
  return part(Stats, {}, [
    part(Stat, {
      label: 'Active deals',
      value: part(Count, { value: active?.deals ?? 0 }),
      hint: html`${part(Bytes, { value: active?.bytes ?? 0 })}, ${replicas}`,
      href: '/dashboard/deals?state=active',
    }),
    part(Stat, {
      label: 'Stored here',
      value: part(Bytes, { value: store.storedBytes }),
      hint: store.damagedRanges > 0 ? `${store.damagedRanges} ranges damaged` : 'nothing damaged',
      ...(store.damagedRanges > 0 && { tone: 'bad' as const }),
    }),
    part(Stat, {
      label: 'Transfers',
      value: part(Count, { value: transfers.moving }),
      hint: `${transfers.notBegun} not begun, ${transfers.still} still`,
      href: '/dashboard/deals?state=accepted',
    }),
    part(Stat, {
      label: 'Providers',
      value: part(Count, { value: providers.enabled }),
      hint: `${providers.resting} resting, ${providers.paused} paused`,
      href: '/dashboard/providers',
      ...(providers.enabled === 0 && { tone: 'bad' as const }),
    }),
    part(Stat, {
      label: 'Expiring in 30 days',
      value: part(Count, { value: expiring.within30Days }),
      hint: `${expiring.unrenewed} without a successor`,
      href: '/dashboard/deals?state=active&expiring=30d',
      ...(expiring.unrenewed > 0 && { tone: 'wait' as const }),
    }),
    part(Stat, {
      label: 'Chain',
      value: chain.epoch === null ? part(Nothing, { why: 'not read yet' }) : part(Count, { value: chain.epoch }),
      hint: chain.degradedReason === null ? html`read ${part(Time, { at: chain.asOf })}` : 'degraded',
      href: '/dashboard/chain',
      ...(chain.degradedReason !== null && { tone: 'bad' as const }),
    }),
  ]);
}
