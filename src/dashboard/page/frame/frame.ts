import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { callApi } from '../data/call-api.ts';
import { keepLive, useLiveStanding } from '../data/live.ts';
import { useSession } from '../data/session.ts';
import { Icon } from '../parts/icon.ts';
import { part } from '../parts/part.ts';
import { Toasts } from '../parts/toasts.ts';
import { usePlace } from '../router.ts';
import { maySee, routes } from '../routes.ts';
import { Brand } from './brand.ts';
import { Outlet } from './outlet.ts';
import { ThemeButton } from './theme-button.ts';

const GROUPS = ['Pipeline', 'Operations'] as const;

/** The menu, the top of the page, and the page itself. */
export function Frame({ onLogout }: { onLogout: () => void }): VNode {
  const { path } = usePlace();
  const [isOpen, setOpen] = useState(false);
  useEffect(keepLive, []);
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    const close = ({ key }: KeyboardEvent): void => void (key === 'Escape' && setOpen(false));
    addEventListener('keydown', close);
    return () => removeEventListener('keydown', close);
  }, []);
  return html`<div class="frame ${isOpen ? 'menu-open' : ''}">
    <a class="skip" href="#content">Skip to the content</a>
    <header class="top">
      <button type="button" class="icon-button menu-button" aria-expanded=${isOpen ? 'true' : 'false'} aria-controls="menu"
        aria-label="Menu" onClick=${() => setOpen(!isOpen)}>${part(Icon, { name: isOpen ? 'close' : 'menu' })}</button>
      ${part(Brand, {})}
    </header>
    <aside class="side" id="menu" aria-label="Menu and session">
      <a class="side-brand" href="/dashboard" aria-label="Lading, overview">${part(Brand, {})}</a>
      ${part(Menu, { path })}
      ${part(Who, { onLogout })}
    </aside>
    <div class="shade" onClick=${() => setOpen(false)}></div>
    <main id="content" class="content" tabindex="-1">${part(Banner, {})}${part(Outlet, {})}</main>
    ${part(Toasts, {})}
  </div>`;
}

/** The overview is below every path, so it is here only where it is the page itself. */
function isHere(pattern: string, path: string): boolean {
  return path === pattern || (pattern !== '/dashboard' && path.startsWith(`${pattern}/`));
}

function Menu({ path }: { path: string }): VNode {
  const { role } = useSession();
  const groups = GROUPS.filter((group) =>
    routes.some(({ pattern, menu }) => menu?.group === group && maySee(role, pattern)),
  );
  return html`<nav class="menu" aria-label="Pages">
    ${groups.map(
      (group) => html`<div key=${group} class="menu-group">
        <p class="menu-title" id="menu-${group}">${group}</p>
        <ul aria-labelledby="menu-${group}">
          ${routes.map(
            ({ pattern, menu }) =>
              menu?.group === group &&
              maySee(role, pattern) &&
              html`<li key=${pattern}>
                <a href=${pattern} aria-current=${isHere(pattern, path) ? 'page' : undefined}>${part(Icon, { name: menu.icon })}${menu.text}</a>
              </li>`,
          )}
        </ul>
      </div>`,
    )}
  </nav>`;
}

const STANDINGS = { live: 'Live', connecting: 'Connecting…', paused: 'Paused' } as const;

function Who({ onLogout }: { onLogout: () => void }): VNode {
  const { name, role, network } = useSession();
  const { standing } = useLiveStanding();
  const leave = (): void => {
    callApi('/dashboard/session', { method: 'DELETE' }).then(onLogout, onLogout);
  };
  return html`<div class="who">
    <p class="live live-${standing}" role="status">${STANDINGS[standing]}<span class="network">${network}</span></p>
    <div class="who-row">
      <p class="who-name" title="Role ${role}"><strong>${name}</strong><span>${role}</span></p>
      ${part(ThemeButton, {})}
      <button type="button" class="icon-button" aria-label="Log out" title="Log out" onClick=${leave}>${part(Icon, { name: 'leave' })}</button>
    </div>
  </div>`;
}

/** The service was upgraded under the page: what is not loaded yet is gone. */
function Banner(): VNode | null {
  const { isOutdated } = useLiveStanding();
  if (!isOutdated) return null;
  return html`<p class="new-build" role="status">
    The service was upgraded. <button type="button" class="button" onClick=${() => location.reload()}>Load the new page</button>
  </p>`;
}
