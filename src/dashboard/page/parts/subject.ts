import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { shorten } from '../format.ts';

const PATTERNS: readonly (readonly [pattern: RegExp, page: (found: string) => string])[] = [
  [/^(f0\d+)$/, (id) => `/dashboard/providers/${id}`],
  [/^([0-9a-f]{8}-[0-9a-f-]{27})$/, (id) => `/dashboard/deals/${id}`],
  [/^aggregate (\d+)$/, (id) => `/dashboard/aggregates/${id}`],
  [/^(?:policy|proposing)()$/, () => '/dashboard/policy'],
  [/^token ()/, () => '/dashboard/tokens'],
];

/** What something was done to, with its page where it has one. */
export function Subject({ text }: { text: string }): VNode {
  for (const [pattern, page] of PATTERNS) {
    const found = pattern.exec(text);
    if (found !== null)
      return html`<a href=${page(found[1] ?? '')} title=${text}>${shorten(text, { head: 24, tail: 8 })}</a>`;
  }
  return html`<span title=${text}>${shorten(text, { head: 24, tail: 8 })}</span>`;
}
