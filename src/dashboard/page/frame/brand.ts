import { html } from 'htm/preact';
import type { VNode } from 'preact';

export function Brand(): VNode {
  return html`<span class="brand">
    <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2 3 7v10l9 5 9-5V7z" /><path d="M3 7l9 5 9-5M12 12v10M7.500 4.500l9 5" /></svg>
    Lading
  </span>`;
}
