import { html } from 'htm/preact';
import { Component, type ComponentChildren, type VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { asProblem, type ApiProblem } from '../data/call-api.ts';
import { useSession } from '../data/session.ts';
import { matchPath } from '../match-path.ts';
import { Page } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, Loading, Problem } from '../parts/states.ts';
import { navigate, usePlace } from '../router.ts';
import type { PageProps } from '../page-props.ts';
import { maySee, routes } from '../routes.ts';

type Loaded = Awaited<ReturnType<(typeof routes)[number]['load']>>;

/** Of every page that was gone to: the second time it is there at once. */
const loaded = new Map<string, Loaded>();

/** A module that cannot be loaded belongs to a service that was upgraded, or is away. */
function lost(): ApiProblem {
  return asProblem(new Error('This page could not be loaded. If the service was upgraded, load the dashboard anew.'));
}

/** The page that belongs to the place; the one before stays until it is loaded. */
export function Outlet(): VNode {
  const { path, query } = usePlace();
  const { role } = useSession();
  const [state, setState] = useState<{ pattern: string; problem?: ApiProblem }>({ pattern: '' });
  const found = routes.flatMap(({ pattern, load }) => {
    const params = matchPath(pattern, path);
    return params === undefined ? [] : [{ pattern, load, params }];
  })[0];
  useEffect(() => {
    if (found === undefined || loaded.has(found.pattern)) return undefined;
    const { pattern, load } = found;
    load().then(
      (component) => {
        loaded.set(pattern, component);
        setState({ pattern });
      },
      () => setState({ pattern, problem: lost() }),
    );
    return undefined;
  }, [found?.pattern]);
  const goesElsewhere = role === 'upload' && found?.pattern === '/dashboard';
  useEffect(() => {
    // The overview is the first page of everybody else.
    if (goesElsewhere) navigate('/dashboard/uploads', { replace: true });
  }, [goesElsewhere]);
  if (found === undefined) return part(Unknown, {});
  if (!maySee(role, found.pattern)) return part(NotYours, {});
  const component = loaded.get(found.pattern);
  if (component !== undefined) return shown(component, { params: found.params, query }, path);
  const problem = state.pattern === found.pattern ? state.problem : undefined;
  return problem === undefined
    ? part(Loading, { lines: 8 })
    : part(Problem, { problem, retry: () => location.reload() });
}

/** Another path is another page, even of the same kind: nothing of the one before stays. */
function shown(component: Loaded, props: PageProps, path: string): VNode {
  return part<object>(Guard, { key: path }, part(component, props));
}

function Unknown(): VNode {
  return part(
    Page,
    { title: 'No such page' },
    part(Empty, { title: 'Nothing is here' }, html`Go to the <a href="/dashboard">overview</a>.`),
  );
}

function NotYours(): VNode {
  const text = html`With it you see <a href="/dashboard/uploads">uploads</a>; the rest is for tokens of role ops or read.`;
  return part(Page, { title: 'Uploads' }, part(Empty, { title: 'This token is of role upload' }, text));
}

/** A page that fails is shown as failed; the frame stays, and so do the other pages. */
class Guard extends Component<{ children?: ComponentChildren }, { problem?: ApiProblem }> {
  static override getDerivedStateFromError(error: unknown): { problem: ApiProblem } {
    return { problem: asProblem(error) };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  override render(): ComponentChildren {
    const { problem } = this.state;
    if (problem === undefined) return this.props.children;
    return part(Problem, { problem, retry: () => location.reload() });
  }
}
