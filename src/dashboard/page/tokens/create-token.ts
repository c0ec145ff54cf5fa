import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { asProblem, callApi, type ApiProblem } from '../data/call-api.ts';
import { Dialog } from '../parts/dialog.ts';
import { CopyButton } from '../parts/names.ts';
import { part } from '../parts/part.ts';
import { Problem } from '../parts/states.ts';

interface CreateProps {
  done: () => void;
  close: () => void;
}

interface Made {
  name: string;
  token: string;
}

/** Makes a token, and shows it once. */
export function CreateToken({ done, close }: CreateProps): VNode {
  const [made, setMade] = useState<Made>();
  const show = (created: Made): void => {
    setMade(created);
    done();
  };
  return made === undefined
    ? part(Dialog, { key: 'ask', title: 'Make a token', onClose: close }, part(Form, { show, close }))
    : part(Dialog, { key: 'show', title: `The token ${made.name}`, onClose: close }, part(Shown, { made, close }));
}

const ROLES = [
  ['upload', 'upload: sends and checks'],
  ['read', 'read: reads all'],
  ['ops', 'ops: reads and changes all'],
] as const;

/** `2026-05-01` of a date field as the end of that day. */
function endOf(day: string): string {
  return `${day}T23:59:59Z`;
}

function Form({ show, close }: { show: (made: Made) => void; close: () => void }): VNode {
  const [problem, setProblem] = useState<ApiProblem>();
  const [isBusy, setBusy] = useState(false);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => {
      const value = fields.get(name);
      return typeof value === 'string' ? value.trim() : '';
    };
    const day = text('expires');
    const body = {
      name: text('name'),
      role: text('role'),
      reason: text('reason'),
      ...(day !== '' && { expires: endOf(day) }),
    };
    setBusy(true);
    callApi<Made>('/tokens', { method: 'POST', body })
      .then(show, (error: unknown) => setProblem(asProblem(error)))
      .finally(() => setBusy(false));
  };
  return html`<form onSubmit=${submit}>
    <label class="field"><span>Name</span>
      <input name="name" required maxlength="64" autofocus autocomplete="off" spellcheck="false" />
      <small>Owner of what is uploaded with it, actor of what is done with it. Letters, digits, . _ - @</small>
    </label>
    <label class="field"><span>Role</span>
      <select name="role">${ROLES.map(([role, words]) => html`<option key=${role} value=${role}>${words}</option>`)}</select>
    </label>
    <label class="field"><span>Expires at the end of (UTC)</span><input type="date" name="expires" /><small>Empty: never</small></label>
    <label class="field"><span>Reason, for the audit</span><textarea name="reason" required maxlength="500" rows="2"></textarea></label>
    ${problem && part(Problem, { problem })}
    <div class="dialog-actions">
      <button type="button" class="button" onClick=${close}>Cancel</button>
      <button type="submit" class="button button-main" disabled=${isBusy}>${isBusy ? 'Working…' : 'Make it'}</button>
    </div>
  </form>`;
}

function Shown({ made, close }: { made: Made; close: () => void }): VNode {
  return html`<div class="dialog-fields">
    <p class="dialog-text">Copy it now: only its hash is kept, and it is never shown again.</p>
    <p class="secret"><code>${made.token}</code>${part(CopyButton, { text: made.token, label: 'token' })}</p>
    <div class="dialog-actions"><button type="button" class="button button-main" onClick=${close}>I have copied it</button></div>
  </div>`;
}
