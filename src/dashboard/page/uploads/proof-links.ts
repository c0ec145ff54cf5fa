import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { ApiProblem, asProblem } from '../data/call-api.ts';
import { Icon } from '../parts/icon.ts';
import { part } from '../parts/part.ts';
import { toast } from '../parts/toasts.ts';

interface Form {
  text: string;
  accept: string;
  ending: string;
}

const FORMS: readonly Form[] = [
  { text: 'Proof (JSON)', accept: 'application/json', ending: 'json' },
  { text: 'Proof (DAG-CBOR)', accept: 'application/vnd.ipld.dag-cbor', ending: 'cbor' },
];

async function download(path: string, name: string, { accept, ending }: Form): Promise<void> {
  const response = await fetch(`${path}/proof`, { headers: { accept }, credentials: 'same-origin' });
  if (!response.ok) {
    const { detail, code } = (await response.json()) as { detail: string; code: string };
    throw new ApiProblem({ status: response.status, code, detail });
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${name}.proof.${ending}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Proofs that the upload lies in its pieces; there are none before its aggregate is sealed. */
export function ProofLinks({ cid, path, isSealed }: { cid: string; path: string; isSealed: boolean }): VNode {
  const [busy, setBusy] = useState<string>();
  const get = (form: Form) => (): void => {
    setBusy(form.ending);
    download(path, cid, form)
      .catch((error: unknown) => toast(asProblem(error).message, { isBad: true }))
      .finally(() => setBusy(undefined));
  };
  const title = isSealed ? undefined : 'There is a proof once its aggregate is sealed';
  return html`${FORMS.map(
    (
      form,
    ) => html`<button key=${form.ending} type="button" class="button" title=${title} disabled=${!isSealed || busy !== undefined} onClick=${get(form)}>
      ${part(Icon, { name: 'download' })}${busy === form.ending ? 'Making it…' : form.text}
    </button>`,
  )}`;
}
