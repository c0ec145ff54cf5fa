import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Icon } from '../parts/icon.ts';
import { part } from '../parts/part.ts';
import { navigate } from '../router.ts';

/** Goes to the upload with a CID, whichever version or base it is written in. */
export function FindUpload(): VNode {
  const [cid, setCid] = useState('');
  const go = (event: Event): void => {
    event.preventDefault();
    if (cid !== '') navigate(`/dashboard/uploads/${encodeURIComponent(cid)}`);
  };
  const type = ({ currentTarget }: { currentTarget: HTMLInputElement }): void => setCid(currentTarget.value.trim());
  return html`<form class="find" onSubmit=${go}>
    <label class="field field-search"><span>Find by CID</span>
      <span class="search">${part(Icon, { name: 'search' })}
        <input type="search" name="cid" value=${cid} placeholder="bafy… or Qm…" onInput=${type} spellcheck="false" autocomplete="off" />
      </span>
    </label>
  </form>`;
}
