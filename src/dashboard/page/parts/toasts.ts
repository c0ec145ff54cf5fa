import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

interface Toast {
  id: number;
  text: string;
  isBad: boolean;
}

const said = new EventTarget();
const SHOWN_MS = 5_000;
let lastId = 0;

/** Says for some seconds what was done, to screen readers too. */
export function toast(text: string, { isBad = false } = {}): void {
  lastId += 1;
  said.dispatchEvent(new CustomEvent<Toast>('toast', { detail: { id: lastId, text, isBad } }));
}

/** Stands once in the frame. */
export function Toasts(): VNode {
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  useEffect(() => {
    const show = (event: Event): void => {
      const { detail } = event as CustomEvent<Toast>;
      setToasts((before) => [...before, detail]);
      setTimeout(() => setToasts((before) => before.filter(({ id }) => id !== detail.id)), SHOWN_MS);
    };
    said.addEventListener('toast', show);
    return () => said.removeEventListener('toast', show);
  }, []);
  return html`<div class="toasts" role="status">
    ${toasts.map(({ id, text, isBad }) => html`<div key=${id} class="toast ${isBad ? 'toast-bad' : ''}">${text}</div>`)}
  </div>`;
}
