import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { callApi } from '../data/call-api.ts';
import { ConfirmDialog } from '../parts/dialog.ts';
import { part } from '../parts/part.ts';
import { toast } from '../parts/toasts.ts';
import type { PolicyAnswer } from './policy-page.ts';
import {
  changedTerms,
  groupTerms,
  helpOf,
  isYesOrNo,
  labelOf,
  readableTerm,
  type TermChange,
  type Terms,
} from './terms.ts';

interface FormProps {
  policy: PolicyAnswer;
  done: () => void;
  cancel: () => void;
}

/** Changes terms: shows what changes before it does, and holds only while the version is in force that was looked at. */
export function PolicyForm({ policy, done, cancel }: FormProps): VNode {
  // What was in force when the form was opened: a newer version must not slip under what somebody has typed.
  const [base] = useState(policy);
  const [terms, setTerms] = useState<Terms>(base.terms);
  const [isAsking, setAsking] = useState(false);
  const changes = changedTerms(base.terms, terms);
  const set = (name: string, text: string): void => setTerms((before) => ({ ...before, [name]: text }));
  const submit = (event: Event): void => {
    event.preventDefault();
    if (changes.length > 0) setAsking(true);
  };
  const act = async (reason: string): Promise<void> => {
    const body = { ...Object.fromEntries(changes.map(({ name, after }) => [name, after.trim()])), reason };
    const { version } = await callApi<PolicyAnswer>('/policy', {
      method: 'PUT',
      headers: { 'if-match': `"${base.version}"` },
      body,
    });
    toast(`Version ${version} of the policy is in force.`);
    done();
  };
  return html`<form class="policy-form" onSubmit=${submit}>
    ${groupTerms(base.terms).map(
      ({ title, names }) => html`<fieldset key=${title}>
        <legend>${title}</legend>
        ${names.map((name) => part(TermField, { key: name, name, text: terms[name] ?? '', isChanged: terms[name] !== base.terms[name], set }))}
      </fieldset>`,
    )}
    <div class="dialog-actions">
      <button type="button" class="button" onClick=${cancel}>Cancel</button>
      <button type="submit" class="button button-main" disabled=${changes.length === 0}>
        ${changes.length === 0 ? 'Nothing changed' : `Review ${changes.length === 1 ? '1 change' : `${changes.length} changes`}`}
      </button>
    </div>
    ${
      isAsking &&
      part(ConfirmDialog, {
        title: `Change version ${base.version} of the policy?`,
        text: part(ChangeList, { changes }),
        verb: 'Put in force',
        act,
        onClose: () => setAsking(false),
      })
    }
  </form>`;
}

interface FieldProps {
  name: string;
  text: string;
  isChanged: boolean;
  set: (name: string, text: string) => void;
}

function TermField({ name, text, isChanged, set }: FieldProps): VNode {
  const type = ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLSelectElement }): void =>
    set(name, currentTarget.value);
  const input = isYesOrNo(name)
    ? html`<select name=${name} value=${text} onChange=${type}>
        <option value="true" selected=${text === 'true'}>yes</option>
        <option value="false" selected=${text === 'false'}>no</option>
      </select>`
    : html`<input name=${name} value=${text} onInput=${type} spellcheck="false" autocomplete="off" required />`;
  const readable = readableTerm(name, text.trim());
  return html`<label class="field ${isChanged ? 'field-changed' : ''}">
    <span>${labelOf(name)}${isChanged && html`<em> changed</em>`}</span>
    ${input}
    <small>${readable !== text && !isYesOrNo(name) ? html`<strong>${readable}</strong> · ` : ''}${helpOf(name)}</small>
  </label>`;
}

/** `Replicas: 3 → 5`. */
export function ChangeList({ changes }: { changes: readonly TermChange[] }): VNode {
  return html`<ul class="change-list">
    ${changes.map(
      ({ name, before, after }) => html`<li key=${name}>
        <strong>${labelOf(name)}</strong>${' '}
        ${before !== undefined && html`<del>${readableTerm(name, before)}</del> <span aria-hidden="true">→</span> `}
        <ins>${readableTerm(name, after)}</ins>
      </li>`,
    )}
  </ul>`;
}
