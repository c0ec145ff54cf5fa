import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import type { Tone } from './chip.ts';
import { ExactTime, Time } from './figures.ts';
import { part } from './part.ts';

export interface Happening {
  key: string;
  /** ISO 8601. */
  at: string;
  title: ComponentChildren;
  text?: ComponentChildren;
  tone?: Tone;
  /** Shown on demand, as JSON. */
  evidence?: unknown;
}

/** What happened, in the order given. */
export function Timeline({ label, happenings }: { label: string; happenings: readonly Happening[] }): VNode {
  return html`<ol class="timeline" aria-label=${label}>
    ${happenings.map(
      ({ key, at, title, text, tone = 'plain', evidence }) => html`<li key=${key} class="happening happening-${tone}">
        <div class="happening-head"><span class="happening-title">${title}</span> ${part(Time, { at })}</div>
        ${text !== undefined && html`<div class="happening-text">${text}</div>`}
        ${evidence !== undefined && evidence !== null && part(Evidence, { evidence, at })}
      </li>`,
    )}
  </ol>`;
}

/** Data as they are, folded away until somebody wants them. */
export function Evidence({ evidence, at }: { evidence: unknown; at?: string }): VNode {
  return html`<details class="evidence">
    <summary>Evidence</summary>
    ${at !== undefined && part(ExactTime, { at })}
    <pre tabindex="0">${JSON.stringify(evidence, null, 2)}</pre>
  </details>`;
}
