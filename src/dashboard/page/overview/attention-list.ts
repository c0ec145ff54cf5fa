import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { Time } from '../parts/figures.ts';
import { Icon } from '../parts/icon.ts';
import { part } from '../parts/part.ts';
import type { Attention } from './overview-answers.ts';

const WORDS = { alarm: 'Now', warning: 'Soon', note: 'Note' } as const;
const TONES = { alarm: 'bad', warning: 'wait', note: 'plain' } as const;

/** What needs somebody, in the order to look at it; or that nothing does. */
export function AttentionList({ items }: { items: readonly Attention[] }): VNode {
  if (items.length === 0) {
    return html`<p class="all-well">${part(Icon, { name: 'done' })} Nothing needs attention.</p>`;
  }
  return html`<section class="panel" aria-label="Needs attention">
    <ul class="attention">
      ${items.map(
        ({ level, code, text, since, page }) => html`<li key=${code + text}>
          <a class="attention-item" href=${page}>
            <span class="chip chip-${TONES[level]}">${WORDS[level]}</span>
            <span class="attention-text">${text}</span>
            ${since !== null && html`<span class="attention-since">since ${part(Time, { at: since })}</span>`}
            ${part(Icon, { name: 'next' })}
          </a>
        </li>`,
      )}
    </ul>
  </section>`;
}
