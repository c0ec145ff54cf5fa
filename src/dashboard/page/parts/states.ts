import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import type { ApiProblem } from '../data/call-api.ts';
import type { Resource } from '../data/use-resource.ts';
import { Icon } from './icon.ts';
import { part } from './part.ts';

/** Says what would be here, and what brings it here. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): VNode {
  return html`<div class="empty">
    ${part(Icon, { name: 'empty' })}
    <p class="empty-title">${title}</p>
    ${children && html`<p class="empty-text">${children}</p>`}
  </div>`;
}

/** Grey lines while nothing is known yet; a screen reader hears "Loading". */
export function Loading({ lines = 4 }: { lines?: number }): VNode {
  return html`<div class="loading" role="status">
    <span class="unseen">Loading</span>
    ${Array.from({ length: lines }, (_none, at) => html`<div class="bone" key=${at}></div>`)}
  </div>`;
}

const HINTS: Readonly<Record<string, string>> = {
  UNREACHABLE: 'Is the service running, and the network there?',
  FORBIDDEN: 'Log in with a token of another role to see this.',
  NOT_FOUND: 'It may have been removed, or the address has a typing error.',
  RATE_LIMITED: 'Wait a moment.',
};

export function Problem({ problem, retry }: { problem: ApiProblem; retry?: () => void }): VNode {
  return html`<div class="problem" role="alert">
    ${part(Icon, { name: 'warning' })}
    <div>
      <p class="problem-text">${problem.message}</p>
      <p class="problem-hint">${HINTS[problem.code] ?? ''} <code>${problem.code}</code></p>
    </div>
    ${retry && html`<button type="button" class="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

interface WithDataProps<T> {
  resource: Resource<T>;
  /** Grey lines meanwhile. */
  lines?: number;
  children: (data: T) => ComponentChildren;
}

/** Loading, then the data, or what went wrong; old data stay beside a problem that came later. */
export function WithData<T>({ resource, lines, children }: WithDataProps<T>): VNode {
  const { data, problem, reload } = resource;
  if (data === undefined) {
    return problem === undefined
      ? part(Loading, { ...(lines !== undefined && { lines }) })
      : part(Problem, { problem, retry: reload });
  }
  return html`${problem && part(Problem, { problem, retry: reload })}${children(data)}`;
}
