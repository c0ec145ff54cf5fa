import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ListedAggregate } from '../answers.ts';
import { Nothing } from '../parts/figures.ts';
import { part } from '../parts/part.ts';

/** `2 / 3`, and how many are on their way, as dots and in words. */
export function Replicas({ replicas }: Pick<ListedAggregate, 'replicas'>): VNode {
  if (replicas === null) return part(Nothing, { why: 'not sealed yet' });
  const { active, live, wanted } = replicas;
  const dots = Array.from({ length: Math.max(wanted, live) }, (_none, at) =>
    at < active ? 'have' : at < live ? 'coming' : 'wanting',
  );
  const words = `${active} of ${wanted} active${live > active ? `, ${live - active} on their way` : ''}`;
  return html`<span class="replicas" title=${words}>
    <span class="replica-dots" aria-hidden="true">${dots.map((kind, at) => html`<i key=${at} class="replica-${kind}"></i>`)}</span>
    <span class="figure" aria-hidden="true">${active}/${wanted}</span><span class="unseen">${words}</span>
  </span>`;
}
