import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { ChoiceAnswer } from '../answers.ts';
import { plainWords } from '../format.ts';
import { Time } from '../parts/figures.ts';
import { ProviderLink } from '../parts/links.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';

/** Decisions about an aggregate: who got which replica and why, and why others did not. */
export function Choices({ choices }: { choices: readonly ChoiceAnswer[] }): VNode {
  if (choices.length === 0) return part(Empty, { title: 'Nothing decided yet' });
  return html`<ol class="choices">
    ${choices.map(
      (choice) => html`<li key=${choice.at}>
      <p class="choice-head">${headOf(choice)} ${part(Time, { at: choice.at })}, by version ${choice.policyVersion} of the policy</p>
      <ul class="choice-list">
        ${choice.chosen.map(
          ({ provider, slot, score, reasons }) => html`<li key=${`${provider} ${slot}`}>
            ${part(ProviderLink, { id: provider })} for replica ${slot + 1}, score <span class="figure">${score.toFixed(2)}</span>:${' '}
            <span class="soft">${reasons.join('; ')}</span>
          </li>`,
        )}
      </ul>
      ${
        choice.refused.length > 0 &&
        html`<details class="evidence"><summary>${choice.refused.length} not chosen</summary>
          <ul class="choice-list">
            ${choice.refused.map(
              ({ provider, code, reason }) => html`<li key=${provider + code}>
                ${provider === '*' ? 'Nobody' : part(ProviderLink, { id: provider })}: ${reason} <span class="soft">(${plainWords(code)})</span>
              </li>`,
            )}
          </ul>
        </details>`
      }
    </li>`,
    )}
  </ol>`;
}

function headOf({ chosen }: ChoiceAnswer): string {
  return chosen.length === 0 ? 'Nobody chosen' : `${chosen.length} chosen`;
}
