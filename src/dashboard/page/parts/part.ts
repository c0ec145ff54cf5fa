import { h, type Attributes, type Component, type ComponentChildren, type FunctionComponent, type VNode } from 'preact';

type Parts<P> = ((props: P) => ComponentChildren) | (new (props: P) => Component<P>);

/**
 * Puts a component into a page, with its props checked: a template (`html`) checks none. Elements are written as
 * templates, components with this: html`<div>${part(Chip, { tone: 'good' }, 'active')}</div>`.
 */
export function part<P extends object>(
  component: Parts<P>,
  props: P & { key?: string | number },
  ...children: ComponentChildren[]
): VNode {
  // Preact's own types take a node of one kind of props for none of another.
  return h(component as FunctionComponent, props as Attributes, ...children);
}
