import { html } from 'htm/preact';
import type { VNode } from 'preact';
import type { Eta, QueueingAnswer, UploadAnswer } from '../answers.ts';
import { formatCount } from '../format.ts';
import { ExactTime, Time } from '../parts/figures.ts';
import { ProviderLink } from '../parts/links.ts';
import { Meter } from '../parts/meter.ts';
import { Name } from '../parts/names.ts';
import { Facts, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { stepsOf, whyItWaits } from './waiting.ts';

/** Nothing more comes of these by itself. */
const OVER: readonly string[] = ['incomplete', 'failed', 'removed'];
const STEP_WORDS = { done: 'done', now: 'now', next: 'to come', bad: 'failed' } as const;

/** How far an upload has come, why it waits, and until when. */
export function WhereItIs({ upload }: { upload: UploadAnswer }): VNode {
  const { queueing, degraded, asOf } = upload;
  const eta = queueing?.etaActive ?? upload.etaActive;
  return part(
    Panel,
    { title: 'Where it is' },
    html`<ol class="steps" aria-label="How far it has come">
      ${stepsOf(upload).map(
        ({
          name,
          state,
        }) => html`<li key=${name} class="step step-${state}" aria-current=${state === 'now' ? 'step' : undefined}>
          <span class="step-name">${name}</span><span class="unseen">, ${STEP_WORDS[state]}</span>
        </li>`,
      )}
    </ol>
    ${queueing && part(Why, { queueing })}
    ${queueing === undefined && eta === undefined ? html`<p class="why-text">${atRest(upload)}</p>` : ''}
    ${
      queueing === undefined && eta !== undefined
        ? html`<p class="why-text">Its deals are under way.</p>${part(Facts, { facts: etaFacts(eta) })}`
        : ''
    }
    ${
      degraded !== undefined &&
      html`<p class="why-text" role="status">What is known of the chain is as of ${part(ExactTime, { at: asOf ?? null })}: ${degraded.join('; ')}.</p>`
    }`,
  );
}

function atRest({ deals }: UploadAnswer): string {
  const active = deals.filter(({ status }) => status === 'active').length;
  if (active === 0) return 'Its deals have ended: no storage provider keeps it by a deal of ours now.';
  return `${active} storage provider${active === 1 ? ' keeps' : 's keep'} it by active deals.`;
}

function etaFacts({ p50, p95 }: Eta) {
  if (p50 === null && p95 === null) return [['Active', 'not known yet: too few like it were measured']] as const;
  return [
    ['Active by, half of those alike', part(Time, { at: p50 })],
    ['Active by, 95 of 100', part(Time, { at: p95 })],
  ] as const;
}

function Why({ queueing }: { queueing: QueueingAnswer }): VNode {
  const { title, text } = whyItWaits(queueing.reason);
  const { position, aggregateFill, sealsBy, parts, missing, failure, lastRefusal, why = [] } = queueing;
  const fill =
    aggregateFill === null ? undefined : part(Meter, { label: 'Fill of the aggregate', value: aggregateFill, max: 1 });
  const facts = [
    [
      queueing.reason === 'waiting_for_aggregate' ? 'Place in the queue' : 'Place in its aggregate',
      position === null ? undefined : formatCount(position),
    ],
    ['Fill of its aggregate', fill],
    ['Sealed by', sealsBy === null ? undefined : part(Time, { at: sealsBy })],
    ['Parts in aggregates', parts && `${formatCount(parts.placed)} of ${formatCount(parts.total)}`],
    ['Blocks missing', missing && formatCount(missing.count)],
    ['The first of them', missing && part(Name, { text: missing.first, label: 'CID of the missing block' })],
    ['Failure', failure],
    ...(OVER.includes(queueing.reason) ? [] : etaFacts(queueing.etaActive)),
  ] as const;
  return html`<p class="why-title">${title}</p>
    <p class="why-text">${text}</p>
    ${part(Facts, { facts })}
    ${
      why.length > 0 &&
      html`<p class="why-text">Of the providers</p>
      <ul class="why-list">
        ${why.map(({ code, providers, text: said }) => html`<li key=${code}>${providers === 0 ? '' : `${formatCount(providers)}: `}${said}</li>`)}
      </ul>`
    }
    ${
      lastRefusal &&
      html`<p class="why-text">Last refusal, by ${part(ProviderLink, { id: lastRefusal.miner })} ${part(Time, { at: lastRefusal.at })}:
        <q>${lastRefusal.text}</q></p>`
    }`;
}
