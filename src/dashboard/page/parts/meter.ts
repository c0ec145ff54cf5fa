import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatShare } from '../format.ts';
import type { Tone } from './chip.ts';

interface MeterProps {
  label: string;
  value: number;
  max: number;
  tone?: Tone;
  /** What stands beside it instead of the percentage; '' for nothing. */
  text?: string;
}

/** How much of something: a bar with its share in words. */
export function Meter({ label, value, max, tone = 'busy', text }: MeterProps): VNode {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  const words = text ?? formatShare(share);
  return html`<span class="meter">
    <span class="meter-track" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(share * 100)} aria-valuetext=${words === '' ? formatShare(share) : words}>
      <span class="meter-fill meter-${tone}" style=${{ width: `${share * 100}%` }}></span>
    </span>
    ${words !== '' && html`<span class="meter-text figure" aria-hidden="true">${words}</span>`}
  </span>`;
}
