import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { setQuery } from '../router.ts';
import { Icon } from './icon.ts';
import { part } from './part.ts';

export function Filters({ children }: { children?: ComponentChildren }): VNode {
  return html`<div class="filters" role="search">${children}</div>`;
}

interface SelectFilterProps {
  label: string;
  /** The part of the query that it sets. */
  name: string;
  value: string | null | undefined;
  /** `['', 'All']` first. */
  choices: readonly (readonly [value: string, text: string])[];
}

/** Keeps the choice in the address of the page, so that a link shows the same. */
export function SelectFilter({ label, name, value, choices }: SelectFilterProps): VNode {
  const choose = ({ currentTarget }: { currentTarget: HTMLSelectElement }): void =>
    setQuery({ [name]: currentTarget.value });
  return html`<label class="field"><span>${label}</span>
    <select name=${name} value=${value ?? ''} onChange=${choose}>
      ${choices.map(([given, text]) => html`<option key=${given} value=${given} selected=${given === (value ?? '')}>${text}</option>`)}
    </select>
  </label>`;
}

interface TextFilterProps {
  label: string;
  name: string;
  value: string | null | undefined;
  placeholder?: string;
}

const TYPING_MS = 350;

/** Asked for when typing rests, or with Enter. */
export function TextFilter({ label, name, value, placeholder }: TextFilterProps): VNode {
  const [text, setText] = useState(value ?? '');
  useEffect(() => setText(value ?? ''), [value]);
  useEffect(() => {
    if (text === (value ?? '')) return undefined;
    const timer = setTimeout(() => setQuery({ [name]: text.trim() }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const type = ({ currentTarget }: { currentTarget: HTMLInputElement }): void => setText(currentTarget.value);
  return html`<label class="field field-search"><span>${label}</span>
    <span class="search">${part(Icon, { name: 'search' })}
      <input type="search" name=${name} value=${text} placeholder=${placeholder} onInput=${type} spellcheck="false" autocomplete="off" />
    </span>
  </label>`;
}
