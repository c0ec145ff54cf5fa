import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatCount } from '../format.ts';
import type { Overview } from './overview-answers.ts';

const LEVELS = ['48', '60', '72'] as const;
const KINDS = [
  ['upload', 'Uploads', '/dashboard/uploads'],
  ['aggregate', 'Aggregates', '/dashboard/aggregates'],
  ['deal', 'Deals', '/dashboard/deals'],
] as const;
const TONES = { '48': 'plain', '60': 'wait', '72': 'bad' } as const;

/** How many wait too long, by how long. */
export function Stuck({ stuck }: { stuck: Overview['stuck'] }): VNode {
  return html`<div class="table-wrap"><table class="compact">
    <caption class="unseen">Stuck uploads, aggregates and deals by hours</caption>
    <thead>
      <tr>
        <th scope="col"><span class="unseen">Kind</span></th>
        ${LEVELS.map((level) => html`<th key=${level} scope="col" class="end">${level} h</th>`)}
      </tr>
    </thead>
    <tbody>
      ${KINDS.map(
        ([kind, text, page]) => html`<tr key=${kind}>
          <th scope="row"><a href=${page}>${text}</a></th>
          ${LEVELS.map((level) => {
            const count = stuck[kind][level];
            return html`<td key=${level} class="end" data-label="${level} h">
              <span class="figure ${count > 0 ? `tone-${TONES[level]}` : 'nothing'}">${formatCount(count)}</span>
            </td>`;
          })}
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}
