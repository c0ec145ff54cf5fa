import { html } from 'htm/preact';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { asProblem, type ApiProblem } from '../data/call-api.ts';
import { useMayAct } from '../data/session.ts';
import { Problem } from './states.ts';
import { toast } from './toasts.ts';
import { part } from './part.ts';

/** As the API takes it. */
const MAX_REASON_CHARS = 500;

interface DialogProps {
  title: string;
  onClose: () => void;
  children?: ComponentChildren;
}

/** Over the page until it is closed, also by Escape; the browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, children }: DialogProps): VNode {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return html`<dialog ref=${element} class="dialog" aria-labelledby=${titleId} onClose=${onClose}>
    <h2 id=${titleId}>${title}</h2>
    ${children}
  </dialog>`;
}

export interface ConfirmProps {
  title: string;
  /** What will happen, and whether it can be undone. */
  text?: ComponentChildren;
  /** On the button: `Pause provider`. */
  verb: string;
  /** It cannot be undone. */
  isDangerous?: boolean;
  /** Throws what the dialog shows; it stays open then. */
  act: (reason: string) => Promise<unknown>;
  onClose: () => void;
}

/** Asks for the reason, which goes into the audit, and does it. */
export function ConfirmDialog({ title, text, verb, isDangerous = false, act, onClose }: ConfirmProps): VNode {
  const [reason, setReason] = useState('');
  const [problem, setProblem] = useState<ApiProblem>();
  const [isBusy, setBusy] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    setBusy(true);
    act(reason.trim())
      .then(onClose, (error: unknown) => setProblem(asProblem(error)))
      .finally(() => setBusy(false));
  };
  const type = ({ currentTarget }: { currentTarget: HTMLTextAreaElement }): void => setReason(currentTarget.value);
  return part(
    Dialog,
    { title, onClose },
    html`<form onSubmit=${submit}>
      ${text !== undefined && html`<div class="dialog-text">${text}</div>`}
      <label class="field"><span>Reason, for the audit</span>
        <textarea required maxlength=${MAX_REASON_CHARS} rows="3" value=${reason} onInput=${type} autofocus></textarea>
      </label>
      ${problem && part(Problem, { problem })}
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="button ${isDangerous ? 'button-danger' : 'button-main'}" disabled=${isBusy || reason.trim() === ''}>
          ${isBusy ? 'Working…' : verb}
        </button>
      </div>
    </form>`,
  );
}

type ActionProps = Omit<ConfirmProps, 'onClose'> & {
  /** On the button that opens the dialog. */
  label: string;
  /** Said when it is done: `Provider paused`. */
  done: string;
  /** Undefined: it can be done; else why it cannot now. */
  disabled?: string;
};

/** A button for an action that is confirmed, with its reason. Nothing for who may not act. */
export function ActionButton({ label, done, disabled, ...confirm }: ActionProps): VNode | null {
  const [isOpen, setOpen] = useState(false);
  const mayAct = useMayAct();
  if (!mayAct) return null;
  const act = async (reason: string): Promise<void> => {
    await confirm.act(reason);
    toast(done);
  };
  return html`<button type="button" class="button ${confirm.isDangerous ? 'button-warn' : ''}" disabled=${disabled !== undefined}
      title=${disabled} onClick=${() => setOpen(true)}>${label}</button>
    ${isOpen && part(ConfirmDialog, { ...confirm, act, onClose: () => setOpen(false) })}`;
}
