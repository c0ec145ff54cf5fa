import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ChoiceAnswer, ListedDeal } from '../answers.ts';
import { callApi } from '../data/call-api.ts';
import { useSession } from '../data/session.ts';
import { useResource } from '../data/use-resource.ts';
import { messagePage } from '../explorer.ts';
import { formatCount, plainWords } from '../format.ts';
import { StateChip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Bytes, ExactTime, Fil, Nothing, Time } from '../parts/figures.ts';
import { History } from '../parts/history.ts';
import { ChainDealLink, ProviderLink } from '../parts/links.ts';
import { Name, OutLink } from '../parts/names.ts';
import { Columns, Facts, Page, Panel, Stat, Stats } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { WithData } from '../parts/states.ts';
import type { PageProps } from '../page-props.ts';
import { Choices } from './choices.ts';
import { TransferPanel, type Delivery } from './transfer.ts';

interface Terms {
  client: string;
  verified: boolean;
  pieceSize: number;
  pricePerEpoch: string;
  providerCollateral: string;
  policyVersion: number;
  startEpoch: number;
  endEpoch: number;
  publishMessage: string | null;
  publishedEpoch: number | null;
  sectorNumber: string | null;
  sectorStartEpoch: number | null;
  nextAttempt: string | null;
}

interface ShownDeal extends ListedDeal {
  choices: ChoiceAnswer[];
  delivery: Delivery;
  terms: Terms;
}

/** The chain has them, and there is nothing to try again. */
const ON_CHAIN: readonly string[] = ['published', 'active'];
/** Nothing has left of it, or its provider can be kept from getting the bytes. */
const ABANDONED: readonly string[] = ['signed', 'accepted'];
const UNDER_WAY: readonly string[] = ['signed', 'sent', 'accepted'];

export function DealPage({ params }: PageProps): VNode {
  const id = params['id'] ?? '';
  const path = `/deals/${encodeURIComponent(id)}`;
  const deal = useResource<ShownDeal>(path, { topics: ['deals'] });
  const { data, reload } = deal;
  return part(
    Page,
    {
      title: `Deal ${id.slice(0, 8)}`,
      up: { href: '/dashboard/deals', text: 'Deals' },
      ...(data !== undefined && { actions: part(Actions, { deal: data, reload }) }),
    },
    part(WithData<ShownDeal>, { resource: deal, children: (found) => part(Body, { deal: found, path }) }),
  );
}

function Actions({ deal: { id, miner, stage }, reload }: { deal: ListedDeal; reload: () => void }): VNode {
  const act = (verb: 'retry' | 'abandon') => async (reason: string) => {
    await callApi(`/deals/${id}/${verb}`, { method: 'POST', body: { reason } });
    reload();
  };
  const again = UNDER_WAY.includes(stage)
    ? `What is due next with ${miner} is done now, not after the wait.`
    : 'Providers are looked for now to take its place, where it has none yet.';
  return html`${
    !ON_CHAIN.includes(stage) &&
    part(ActionButton, {
      label: 'Try again now',
      title: 'Try this deal again now?',
      text: again,
      verb: 'Try again',
      done: 'It is being tried again',
      act: act('retry'),
    })
  }
  ${
    ABANDONED.includes(stage) &&
    part(ActionButton, {
      label: 'Abandon',
      title: 'Abandon this deal?',
      text: `It is given up, ${miner} gets no bytes from now on, and another provider is asked.`,
      verb: 'Abandon it',
      done: 'The deal is abandoned',
      isDangerous: true,
      act: act('abandon'),
    })
  }`;
}

function Body({ deal, path }: { deal: ShownDeal; path: string }): VNode {
  const {
    stage,
    statusText,
    miner,
    chainDealID,
    dealActivation,
    dealExpiration,
    reasonCode,
    delivery,
    choices,
    lastChanged,
  } = deal;
  const isBad = ['slashed', 'missed', 'failed', 'rejected'].includes(stage);
  return html`${part(
    Stats,
    {},
    part(Stat, {
      label: 'State',
      value: part(StateChip, { state: stage }),
      hint: html`since ${part(Time, { at: lastChanged })}`,
    }),
    part(Stat, { label: 'Provider', value: part(ProviderLink, { id: miner }), hint: `replica ${deal.slot + 1}` }),
    part(Stat, {
      label: 'Chain deal',
      value: part(ChainDealLink, { id: chainDealID }),
      hint: chainDealID === null ? 'once it is published' : 'on Filfox',
    }),
    part(Stat, {
      label: 'Ends',
      value: part(Time, { at: dealExpiration }),
      hint: html`starts ${part(Time, { at: dealActivation })}`,
    }),
  )}
  <p class="verdict ${isBad ? 'verdict-bad' : ''}">${statusText}${reasonCode !== null && html` <code>${plainWords(reasonCode)}</code>`}</p>
  ${part(Columns, {}, part(TransferPanel, { delivery, stage }), part(FactsPanel, { deal }))}
  ${part(History, { path: `${path}/history`, topics: ['deals'], isOfOne: true })}
  ${part(Panel, { title: 'Decisions', note: 'Who was chosen for its aggregate and who was not, the newest first.' }, part(Choices, { choices }))}`;
}

function FactsPanel({ deal }: { deal: ShownDeal }): VNode {
  const { network } = useSession();
  const { terms } = deal;
  const message = terms.publishMessage;
  const facts = [
    [
      'Aggregate',
      html`<a href=${`/dashboard/aggregates/${deal.aggregateId}`}>${deal.aggregateId}</a>, ${part(Bytes, { value: terms.pieceSize })} padded`,
    ],
    ['Piece CID', part(Name, { text: deal.pieceCid, label: 'piece CID' })],
    ['Proposal CID', part(Name, { text: deal.proposalCid, label: 'proposal CID' })],
    ['Client', part(Name, { text: terms.client, label: 'client address' })],
    ['Price', html`${part(Fil, { atto: terms.pricePerEpoch })} an epoch${terms.verified ? ', verified' : ''}`],
    ['Provider collateral', part(Fil, { atto: terms.providerCollateral })],
    [
      'Published',
      message === null
        ? part(Nothing, {})
        : html`${part(OutLink, { href: messagePage(network, message) }, 'message')} at epoch ${terms.publishedEpoch ?? '–'}`,
    ],
    [
      'Sector',
      terms.sectorNumber === null
        ? part(Nothing, {})
        : `${terms.sectorNumber}, active from epoch ${terms.sectorStartEpoch ?? '–'}`,
    ],
    ['Made', part(ExactTime, { at: deal.created })],
    ['Starts', html`${part(ExactTime, { at: deal.dealActivation })}, epoch ${formatCount(terms.startEpoch)}`],
    ['Ends', html`${part(ExactTime, { at: deal.dealExpiration })}, epoch ${formatCount(terms.endEpoch)}`],
    ['By', `version ${terms.policyVersion} of the policy, generation ${deal.generation}`],
    [
      'Attempts',
      html`${deal.attempts}${terms.nextAttempt !== null && html`, next ${part(Time, { at: terms.nextAttempt })}`}`,
    ],
  ] as const;
  return part(Panel, { title: 'Terms' }, part(Facts, { facts }));
}
