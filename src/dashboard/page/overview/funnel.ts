import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { Bytes, Count, Nothing, Time } from '../parts/figures.ts';
import { Meter } from '../parts/meter.ts';
import { part } from '../parts/part.ts';
import type { FunnelRow } from './overview-answers.ts';

interface Stage {
  text: string;
  means: string;
  page: string;
}

const aggregates = '/dashboard/aggregates';
const deals = '/dashboard/deals';

/** In words, and where to see what is in it. */
const STAGES: Readonly<Record<string, Stage>> = {
  incomplete: { text: 'Incomplete', means: 'blocks are missing', page: '/dashboard/uploads?state=incomplete' },
  waiting: { text: 'Waiting', means: 'for an aggregate', page: '/dashboard/uploads?state=waiting' },
  filling: { text: 'Filling', means: 'in an open aggregate', page: `${aggregates}?state=open` },
  sealing: { text: 'Sealing', means: 'the piece is hashed', page: `${aggregates}?state=sealing` },
  sealed: { text: 'Sealed', means: 'no live deal yet', page: `${aggregates}?state=sealed` },
  signed: { text: 'Signed', means: 'a proposal is to be sent', page: `${deals}?state=signed` },
  sent: { text: 'Sent', means: 'no answer yet', page: `${deals}?state=sent` },
  accepted: { text: 'Accepted', means: 'the provider fetches', page: `${deals}?state=accepted` },
  published: { text: 'Published', means: 'on chain, not proven', page: `${deals}?state=published` },
  active: { text: 'Active', means: 'proven in a sector', page: `${deals}?state=active` },
  failed: { text: 'Failed', means: 'never became whole', page: '/dashboard/uploads?state=failed' },
};

/** Bars compare what is under way: what is done is a hundred times more, and would leave nothing to see of it. */
const DONE = ['active', 'failed'];

export function Funnel({ rows }: { rows: readonly FunnelRow[] }): VNode {
  const most = Math.max(1, ...rows.filter(({ stage }) => !DONE.includes(stage)).map(({ bytes }) => bytes ?? 0));
  return html`<div class="table-wrap" role="region" aria-label="Pipeline" tabindex="0">
    <table class="funnel compact">
      <caption class="unseen">Uploads, aggregates and bytes by stage</caption>
      <thead>
        <tr>
          <th scope="col">Stage</th>
          <th scope="col" class="grows funnel-bar"><span class="unseen">Share of what is under way</span></th>
          <th scope="col" class="end">Bytes</th>
          <th scope="col" class="end">Uploads</th>
          <th scope="col" class="end minor">Aggregates</th>
          <th scope="col" class="end">Oldest</th>
        </tr>
      </thead>
      <tbody>${rows.map((row) => funnelRow(row, most))}</tbody>
    </table>
  </div>`;
}

function funnelRow({ stage, uploads, aggregates: count, bytes, oldestAt }: FunnelRow, most: number): VNode {
  const { text, means, page } = STAGES[stage] ?? { text: stage, means: '', page: '/dashboard' };
  const isEmpty = uploads === 0;
  const isMoving = !DONE.includes(stage) && (bytes ?? 0) > 0;
  return html`<tr key=${stage} class=${isEmpty ? 'funnel-empty' : ''}>
    <td data-label="Stage"><span class="funnel-stage"><a href=${page}>${text}</a><span class="soft">${means}</span></span></td>
    <td class="grows funnel-bar">
      ${isMoving && part(Meter, { label: `${text}: share of what is under way`, value: bytes ?? 0, max: most, text: '' })}
    </td>
    <td class="end" data-label="Bytes">${bytes === null ? part(Nothing, { why: 'not known yet' }) : part(Bytes, { value: bytes })}</td>
    <td class="end" data-label="Uploads">${part(Count, { value: uploads })}</td>
    <td class="end minor" data-label="Aggregates">${count === null ? part(Nothing, {}) : part(Count, { value: count })}</td>
    <td class="end" data-label="Oldest">${part(Time, { at: oldestAt })}</td>
  </tr>`;
}
