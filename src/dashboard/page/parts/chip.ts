import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import { plainWords } from '../format.ts';
import { part } from './part.ts';

/** good: as it should be; busy: on its way; wait: waits for something; bad: wants somebody; plain: over, or neither. */
export type Tone = 'good' | 'busy' | 'wait' | 'bad' | 'plain';

/** A word with a coloured dot: the word alone says it all, so that colour is never needed. */
export function Chip({ tone, title, children }: { tone: Tone; title?: string; children?: ComponentChildren }): VNode {
  return html`<span class="chip chip-${tone}" title=${title}>${children}</span>`;
}

/** Every state of deals, aggregates, uploads, pins, providers, jobs and tokens that the API knows. */
const TONES: Readonly<Record<string, Tone>> = {
  active: 'good',
  sealed: 'good',
  pinned: 'good',
  enabled: 'good',
  stored: 'good',
  delivered: 'good',
  completed: 'good',
  ok: 'good',
  signed: 'busy',
  sent: 'busy',
  accepted: 'busy',
  published: 'busy',
  sealing: 'busy',
  pinning: 'busy',
  aggregating: 'busy',
  placed: 'busy',
  open: 'busy',
  'in-progress': 'busy',
  queued: 'wait',
  waiting: 'wait',
  pending: 'wait',
  created: 'wait',
  retry: 'wait',
  incomplete: 'wait',
  paused: 'wait',
  shadowed: 'wait',
  failed: 'bad',
  slashed: 'bad',
  missed: 'bad',
  rejected: 'bad',
  dead: 'bad',
  terminated: 'bad',
  expired: 'plain',
  abandoned: 'plain',
  removed: 'plain',
  revoked: 'plain',
  cancelled: 'plain',
};
const WORDS: Readonly<Record<string, string>> = { queued: 'Queuing', pinned: 'Pinned', failed: 'Failed' };

export function toneOf(state: string): Tone {
  return TONES[state] ?? 'plain';
}

export function StateChip({ state, title }: { state: string; title?: string }): VNode {
  return part(Chip, { tone: toneOf(state), ...(title !== undefined && { title }) }, plainWords(state));
}

/** In the words of the file listing: Queuing, Pinned, Failed. */
export function PinChip({ status, title }: { status: string; title?: string }): VNode {
  const word = WORDS[status] ?? plainWords(status);
  return part(Chip, { tone: toneOf(status), ...(title !== undefined && { title }) }, word);
}
