import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ProviderAnswer } from '../answers.ts';
import { asProblem, callApi, type ApiProblem } from '../data/call-api.ts';
import { useMayAct } from '../data/session.ts';
import { Dialog } from '../parts/dialog.ts';
import { part } from '../parts/part.ts';
import { Problem } from '../parts/states.ts';
import { toast } from '../parts/toasts.ts';

interface LabelsProps {
  provider: Pick<ProviderAnswer, 'id' | 'org' | 'region'>;
  done: () => void;
}

/** Organization and region: what the policy's caps go by. */
export function EditLabels({ provider, done }: LabelsProps): VNode | null {
  const [isOpen, setOpen] = useState(false);
  if (!useMayAct()) return null;
  const close = (): void => setOpen(false);
  const saved = (): void => {
    toast(`The labels of ${provider.id} are changed`);
    close();
    done();
  };
  return html`<button type="button" class="button" onClick=${() => setOpen(true)}>Change labels</button>
    ${isOpen && part(Dialog, { title: `Labels of ${provider.id}`, onClose: close }, part(Form, { provider, close, saved }))}`;
}

interface FormProps {
  provider: LabelsProps['provider'];
  close: () => void;
  saved: () => void;
}

function Form({ provider: { id, org, region }, close, saved }: FormProps): VNode {
  const [problem, setProblem] = useState<ApiProblem>();
  const [isBusy, setBusy] = useState(false);
  const submit = (event: SubmitEvent & { currentTarget: HTMLFormElement }): void => {
    event.preventDefault();
    const body = Object.fromEntries(new FormData(event.currentTarget));
    setBusy(true);
    callApi(`/providers/${encodeURIComponent(id)}`, { method: 'PATCH', body })
      .then(saved, (error: unknown) => setProblem(asProblem(error)))
      .finally(() => setBusy(false));
  };
  return html`<form onSubmit=${submit}>
    <div class="dialog-text">The caps of the policy per organization and region go by them, from the next proposal on. Left empty, a label is taken away.</div>
    <label class="field"><span>Organization</span><input name="org" maxlength="64" autocomplete="off" defaultValue=${org ?? ''} autofocus /></label>
    <label class="field"><span>Region</span><input name="region" maxlength="64" autocomplete="off" defaultValue=${region ?? ''} /></label>
    <label class="field"><span>Reason, for the audit</span><input name="reason" required maxlength="500" autocomplete="off" /></label>
    ${problem && part(Problem, { problem })}
    <div class="dialog-actions">
      <button type="button" class="button" onClick=${close}>Cancel</button>
      <button type="submit" class="button button-main" disabled=${isBusy}>${isBusy ? 'Working…' : 'Save'}</button>
    </div>
  </form>`;
}
