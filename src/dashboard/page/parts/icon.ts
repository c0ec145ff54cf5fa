import { html } from 'htm/preact';
import type { VNode } from 'preact';

/** Lines of 1.6 in a square of 24. */
const PATHS = {
  overview: 'M3 13h6V3H3zM15 21h6v-10h-6zM3 21h6v-4H3zM15 7h6V3h-6z',
  uploads: 'M12 16V4m0 0L7 9m5-5 5 5M4 16v4h16v-4',
  aggregates: 'M12 3 3 7.5l9 4.5 9-4.5zM3 12l9 4.5 9-4.5M3 16.5 12 21l9-4.5',
  deals: 'M4 6h16M4 12h16M4 18h9m3.5 0 1.5 1.5 3-3.5',
  providers: 'M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01',
  chain: 'M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1',
  policy: 'M4 7h9m4 0h3M4 17h3m4 0h9M15 4.500v5M9 14.500v5',
  jobs: 'M12 8v4l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  audit: 'M7 3h10l3 3v15H4V3zM8 10h8M8 14h8M8 18h5',
  tokens: 'M15 9a3 3 0 1 0-3 3m-1 0-7 7v2h3v-2h2v-2h2l2-2.500a5.500 5.500 0 1 0-3-3z',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M4.900 4.900l1.400 1.400m11.400 11.400 1.400 1.400M2 12h2m16 0h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z',
  auto: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  done: 'M5 12.500 10 17.500 19 7',
  warning: 'M12 4 2.500 20h19zM12 10v4m0 3h.01',
  empty: 'M4 13h4l1.500 3h5L16 13h4M4 13 7 5h10l3 8v6H4z',
  out: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
  leave: 'M10 4H4v16h6M15 8l4 4-4 4M19 12H9',
  back: 'M14 6l-6 6 6 6',
  next: 'M10 6l6 6-6 6',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  download: 'M12 4v12m0 0 5-5m-5 5-5-5M4 20h16',
} as const;

export type IconName = keyof typeof PATHS;

/** Beside a text that says the same: a screen reader passes over it. */
export function Icon({ name }: { name: IconName }): VNode {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
