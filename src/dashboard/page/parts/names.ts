import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { shorten } from '../format.ts';
import { Icon } from './icon.ts';
import { part } from './part.ts';

const SHOWN_MS = 1_500;

/** Copies a text to the clipboard, and says so. */
export function CopyButton({ text, label }: { text: string; label: string }): VNode {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), SHOWN_MS);
      },
      () => undefined,
    );
  };
  return html`<button type="button" class="copy" onClick=${copy} aria-label=${copied ? 'Copied' : `Copy ${label}`} title="Copy">
    ${part(Icon, { name: copied ? 'done' : 'copy' })}
  </button>`;
}

interface NameProps {
  /** A CID, piece CID, address or id: shown shortened, copied whole. */
  text: string | null | undefined;
  /** What it is, for screen readers: `CID`. */
  label: string;
  href?: string;
  /** All of it, where there is room. */
  whole?: boolean;
}

export function Name({ text, label, href, whole = false }: NameProps): VNode {
  if (text === null || text === undefined) return html`<span class="nothing">–</span>`;
  const shown = whole ? text : shorten(text);
  return html`<span class="name ${whole ? 'name-whole' : ''}">
    ${href === undefined ? html`<code title=${text}>${shown}</code>` : html`<a href=${href}><code title=${text}>${shown}</code></a>`}
    ${part(CopyButton, { text, label })}
  </span>`;
}

/** To a site of others, in a tab of its own. */
export function OutLink({ href, children }: { href: string; children?: ComponentChildren }): VNode {
  return html`<a class="out" href=${href} target="_blank" rel="noopener noreferrer">
    ${children}${part(Icon, { name: 'out' })}<span class="unseen"> (opens in a new tab)</span>
  </a>`;
}
