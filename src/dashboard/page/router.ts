import { useEffect, useState } from 'preact/hooks';

/** Where the page is: everything that a link to it has to say. */
export interface Place {
  path: string;
  query: URLSearchParams;
}

const ROOT = '/dashboard';
const changed = new EventTarget();

function here(): Place {
  return { path: location.pathname.replace(/\/+$/, ''), query: new URLSearchParams(location.search) };
}

/** Goes to a page of ours. `replace`: without a step in the history, as for a filter that is being typed. */
export function navigate(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  changed.dispatchEvent(new Event('place'));
}

/** The place, now and after each change. */
export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const look = (): void => setPlace(here());
    changed.addEventListener('place', look);
    addEventListener('popstate', look);
    return () => {
      changed.removeEventListener('place', look);
      removeEventListener('popstate', look);
    };
  }, []);
  return place;
}

/** Sets or (with undefined or '') takes away parts of the query; every other part but the page stays. */
export function setQuery(changes: Record<string, string | undefined>, options = { replace: true }): void {
  const { path, query } = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  navigate(text === '' ? path : `${path}?${text}`, options);
}

/** Plain clicks on links of ours change the place without a reload; all others are the browser's. */
export function followLinks(): void {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.target !== '' || link.hasAttribute('download') || link.origin !== location.origin) return;
    // To a place within the page, as the link that skips the menu.
    if (link.hash !== '' && link.pathname === location.pathname) return;
    if (link.pathname !== ROOT && !link.pathname.startsWith(`${ROOT}/`)) return;
    event.preventDefault();
    const to = link.pathname + link.search;
    if (to !== location.pathname + location.search) navigate(to);
  });
}
