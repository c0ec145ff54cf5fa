import { html } from 'htm/preact';
import { type ComponentChildren, type VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface PageProps {
  title: string;
  /** One calm sentence below the title. */
  note?: ComponentChildren;
  /** Buttons at the right of the title. */
  actions?: ComponentChildren;
  /** Where this page lies below another: `{href: '/dashboard/deals', text: 'Deals'}`. */
  up?: { href: string; text: string };
  children?: ComponentChildren;
}

/** A whole page: takes the focus when it comes, so that a screen reader says its title. */
export function Page({ title, note, actions, up, children }: PageProps): VNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Lading`;
  }, [title]);
  useEffect(() => {
    // Not at the first load: there the browser reads the page from its top.
    if (document.body.dataset['arrived'] === 'true') heading.current?.focus({ preventScroll: true });
    document.body.dataset['arrived'] = 'true';
    scrollTo(0, 0);
  }, []);
  return html`<div class="page">
    <header class="page-head">
      <div class="page-title">
        ${up && html`<nav aria-label="Up"><a class="up" href=${up.href}>${up.text}</a></nav>`}
        <h1 ref=${heading} tabindex="-1">${title}</h1>
        ${note && html`<p class="page-note">${note}</p>`}
      </div>
      ${actions && html`<div class="page-actions">${actions}</div>`}
    </header>
    ${children}
  </div>`;
}

interface PanelProps {
  title?: ComponentChildren;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  /** Without inner margins: for tables. */
  flush?: boolean;
  children?: ComponentChildren;
}

export function Panel({ title, note, actions, flush = false, children }: PanelProps): VNode {
  return html`<section class="panel ${flush ? 'panel-flush' : ''}">
    ${
      (title !== undefined || actions !== undefined) &&
      html`<header class="panel-head">
        <div>
          ${title !== undefined && html`<h2>${title}</h2>`}
          ${note !== undefined && html`<p class="panel-note">${note}</p>`}
        </div>
        ${actions && html`<div class="panel-actions">${actions}</div>`}
      </header>`
    }
    <div class="panel-body">${children}</div>
  </section>`;
}

/** Panels beside each other where there is room: `wide` gives the first two thirds. */
export function Columns({ wide = false, children }: { wide?: boolean; children?: ComponentChildren }): VNode {
  return html`<div class="columns ${wide ? 'columns-wide' : ''}">${children}</div>`;
}

interface StatProps {
  label: string;
  value: ComponentChildren;
  hint?: ComponentChildren;
  tone?: 'good' | 'wait' | 'bad';
  href?: string;
}

/** A figure with its name. Several of them stand in `Stats`. */
export function Stat({ label, value, hint, tone, href }: StatProps): VNode {
  const inner = html`<span class="stat-label">${label}</span>
    <span class="stat-value">${value}</span>
    ${hint !== undefined && html`<span class="stat-hint">${hint}</span>`}`;
  const names = `stat ${tone === undefined ? '' : `stat-${tone}`}`;
  return href === undefined
    ? html`<div class=${names}>${inner}</div>`
    : html`<a class=${names} href=${href}>${inner}</a>`;
}

export function Stats({ children }: { children?: ComponentChildren }): VNode {
  return html`<div class="stats">${children}</div>`;
}

/** Names with values; pairs whose value is undefined are left out. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ComponentChildren])[] }): VNode {
  const shown = facts.filter(([, value]) => value !== undefined);
  return html`<dl class="facts">
    ${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}
