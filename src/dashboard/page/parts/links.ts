import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { DealAnswer } from '../answers.ts';
import { useSession } from '../data/session.ts';
import { dealPage } from '../explorer.ts';
import { Nothing } from './figures.ts';
import { OutLink } from './names.ts';
import { part } from './part.ts';

/** A storage provider; its page is not for tokens of role upload. */
export function ProviderLink({ id }: { id: string }): VNode {
  const { role } = useSession();
  const text = html`<code>${id}</code>`;
  return role === 'upload' ? html`<span>${text}</span>` : html`<a href=${`/dashboard/providers/${id}`}>${text}</a>`;
}

/** A deal as the chain numbers it, to its page on Filfox. */
export function ChainDealLink({ id }: { id: number | null }): VNode {
  const { network } = useSession();
  if (id === null) return part(Nothing, { why: 'not on chain yet' });
  return part(OutLink, { href: dealPage(network, id) }, html`<span class="figure">${id}</span>`);
}

/** The provider of a deal, to the deal's page on Filfox once there is one. */
export function DealProvider({ deal }: { deal: DealAnswer }): VNode {
  const { network } = useSession();
  if (deal.chainDealID === null) return part(ProviderLink, { id: deal.miner });
  return part(OutLink, { href: dealPage(network, deal.chainDealID) }, html`<code>${deal.miner}</code>`);
}
