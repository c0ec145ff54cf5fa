import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { asProblem, callApi, type ApiProblem } from '../data/call-api.ts';
import { useMayAct } from '../data/session.ts';
import { Dialog } from '../parts/dialog.ts';
import { part } from '../parts/part.ts';
import { Problem } from '../parts/states.ts';
import { toast } from '../parts/toasts.ts';

/** Its addresses are read from the chain. */
export function AddProvider({ reload }: { reload: () => void }): VNode | null {
  const [isOpen, setOpen] = useState(false);
  if (!useMayAct()) return null;
  const close = (): void => setOpen(false);
  const added = (id: string): void => {
    toast(`${id} is added`);
    close();
    reload();
  };
  return html`<button type="button" class="button button-main" onClick=${() => setOpen(true)}>Add provider</button>
    ${isOpen && part(Dialog, { title: 'Add a storage provider', onClose: close }, part(AddForm, { close, added }))}`;
}

function AddForm({ close, added }: { close: () => void; added: (id: string) => void }): VNode {
  const [problem, setProblem] = useState<ApiProblem>();
  const [isBusy, setBusy] = useState(false);
  const submit = (event: SubmitEvent & { currentTarget: HTMLFormElement }): void => {
    event.preventDefault();
    // What is left empty is not said.
    const given = [...new FormData(event.currentTarget)].filter(([, value]) => value !== '');
    setBusy(true);
    callApi<{ id: string }>('/providers', { method: 'POST', body: Object.fromEntries(given) })
      .then(
        ({ id }) => added(id),
        (error: unknown) => setProblem(asProblem(error)),
      )
      .finally(() => setBusy(false));
  };
  return html`<form onSubmit=${submit}>
    <div class="dialog-text">Its addresses and sector size are read from the chain. A provider that was removed is enabled again.</div>
    <label class="field"><span>Id on chain</span>
      <input name="id" required pattern="[ft]0[0-9]{1,18}" title="f01234, as on chain" placeholder="f01234" autocomplete="off" autofocus /></label>
    <label class="field"><span>Organization, for the caps of the policy</span><input name="org" maxlength="64" autocomplete="off" /></label>
    <label class="field"><span>Region</span><input name="region" maxlength="64" autocomplete="off" /></label>
    <label class="field"><span>Reason, for the audit</span><input name="reason" required maxlength="500" autocomplete="off" /></label>
    ${problem && part(Problem, { problem })}
    <div class="dialog-actions">
      <button type="button" class="button" onClick=${close}>Cancel</button>
      <button type="submit" class="button button-main" disabled=${isBusy}>${isBusy ? 'Working…' : 'Add it'}</button>
    </div>
  </form>`;
}
