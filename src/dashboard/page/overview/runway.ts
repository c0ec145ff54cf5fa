import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatCount } from '../format.ts';
import { Bytes, Fil } from '../parts/figures.ts';
import { Meter } from '../parts/meter.ts';
import { Name } from '../parts/names.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import type { RunwayRow } from './overview-answers.ts';

/** A bar is full at three months: then nobody has to think of it. */
const CALM_DAYS = 90;
const ALARM_DAYS = 14;
const WARNING_DAYS = 30;

function toneOf(days: number | null): 'good' | 'wait' | 'bad' {
  if (days === null || days >= WARNING_DAYS) return 'good';
  return days < ALARM_DAYS ? 'bad' : 'wait';
}

const MANY_DAYS = 3_650;

function daysText(days: number | null): string {
  if (days === null) return 'nothing is spent';
  return days > MANY_DAYS ? 'more than 10 years' : `${formatCount(Math.floor(days))} days`;
}

/** How long DataCap and the balance in the market last. */
export function Runway({ rows }: { rows: readonly RunwayRow[] }): VNode {
  if (rows.length === 0) {
    return part(
      Empty,
      { title: 'Not read yet' },
      'What the wallet holds is read from the chain once deals are proposed.',
    );
  }
  return html`<ul class="runway">
    ${rows.map(({ what, client, free, daysLeft }) => {
      const days = daysText(daysLeft);
      const label = what === 'datacap' ? 'DataCap' : 'Market balance';
      return html`<li key=${what + client}>
        <div class="runway-head">
          <span><strong>${label}</strong> ${what === 'datacap' ? part(Bytes, { value: free }) : part(Fil, { atto: free })} free</span>
          <span class="figure">${days}</span>
        </div>
        ${part(Meter, { label: `${label}: days left`, value: daysLeft ?? CALM_DAYS, max: CALM_DAYS, tone: toneOf(daysLeft), text: '' })}
        <div class="soft">${part(Name, { text: client, label: 'address' })}</div>
      </li>`;
    })}
  </ul>`;
}
