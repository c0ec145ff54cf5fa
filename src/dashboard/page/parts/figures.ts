import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { serviceNow } from '../data/clock.ts';
import { formatBytes, formatCount, formatDuration, formatExact, formatFil, formatRelative } from '../format.ts';
import { part } from './part.ts';

/** One clock for all times on the page: they move together. */
const ticks = new EventTarget();
const TICK_MS = 5_000;
setInterval(() => ticks.dispatchEvent(new Event('tick')), TICK_MS);

export function useNow(): Date {
  const [now, setNow] = useState(serviceNow);
  useEffect(() => {
    const look = (): void => setNow(serviceNow());
    ticks.addEventListener('tick', look);
    return () => ticks.removeEventListener('tick', look);
  }, []);
  return now;
}

interface TimeProps {
  /** ISO 8601, as the API gives it; null shows a dash. */
  at: string | null | undefined;
}

/** `3 h ago`, with the exact time on hover and for screen readers. */
export function Time({ at }: TimeProps): VNode {
  const now = useNow();
  if (at === null || at === undefined) return part(Nothing, {});
  const time = new Date(at);
  const exact = formatExact(time);
  return html`<time datetime=${at} title=${exact}>${formatRelative(time, now)}<span class="unseen">, ${exact}</span></time>`;
}

/** `2026-05-01 12:30:05 UTC`, with how long ago on hover. */
export function ExactTime({ at }: TimeProps): VNode {
  const now = useNow();
  if (at === null || at === undefined) return part(Nothing, {});
  const time = new Date(at);
  return html`<time class="figure" datetime=${at} title=${formatRelative(time, now)}>${formatExact(time)}</time>`;
}

/** Sizes: `1.5 GiB`, with all bytes on hover. */
export function Bytes({ value }: { value: number | string | bigint | null | undefined }): VNode {
  if (value === null || value === undefined) return part(Nothing, {});
  const bytes = BigInt(value);
  return html`<span class="figure" title="${formatCount(bytes)} bytes">${formatBytes(bytes)}</span>`;
}

/** Money, given in attoFIL: `1.25 FIL`, with all digits on hover. */
export function Fil({ atto }: { atto: string | bigint | null | undefined }): VNode {
  if (atto === null || atto === undefined) return part(Nothing, {});
  return html`<span class="figure" title="${formatCount(BigInt(atto))} attoFIL">${formatFil(atto)}</span>`;
}

export function Count({ value }: { value: number | string | bigint | null | undefined }): VNode {
  if (value === null || value === undefined) return part(Nothing, {});
  return html`<span class="figure">${formatCount(BigInt(value))}</span>`;
}

export function Duration({ seconds }: { seconds: number | null | undefined }): VNode {
  if (seconds === null || seconds === undefined) return part(Nothing, {});
  return html`<span class="figure" title="${formatCount(Math.round(seconds))} s">${formatDuration(seconds)}</span>`;
}

/** Where there is no value. */
export function Nothing({ why = 'none' }: { why?: string }): VNode {
  return html`<span class="nothing" title=${why}><span aria-hidden="true">–</span><span class="unseen">${why}</span></span>`;
}
