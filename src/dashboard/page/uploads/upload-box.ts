import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useReducer, useRef, useState } from 'preact/hooks';
import { asProblem, type ApiProblem } from '../data/call-api.ts';
import { useSession } from '../data/session.ts';
import { formatBytes } from '../format.ts';
import { Chip } from '../parts/chip.ts';
import { Icon } from '../parts/icon.ts';
import { Meter } from '../parts/meter.ts';
import { Name } from '../parts/names.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { gatherChosen, gatherDropped, gatherFolder } from './gather-files.ts';
import { parcelBytes, sendParcel, type Parcel } from './send-upload.ts';

interface Job {
  id: number;
  parcel: Parcel;
  total: number;
  sent: number;
  cid?: string;
  problem?: ApiProblem;
  stop: AbortController;
}

type Change = { add: Job } | { id: number; to: Partial<Job> };

/** More at once would only share the line. */
const AT_ONCE = 2;
let lastId = 0;

function change(jobs: readonly Job[], given: Change): readonly Job[] {
  if ('add' in given) return [given.add, ...jobs];
  return jobs.map((job) => (job.id === given.id ? { ...job, ...given.to } : job));
}

function useSending(token: string | undefined) {
  const [jobs, dispatch] = useReducer(change, []);
  const waiting = useRef<Job[]>([]);
  const busy = useRef(0);
  const next = (): void => {
    const job = busy.current < AT_ONCE ? waiting.current.shift() : undefined;
    if (job === undefined) return;
    busy.current += 1;
    const { id, stop } = job;
    const onProgress = (sent: number, total: number): void => dispatch({ id, to: { sent, total } });
    sendParcel(job.parcel, { token, signal: stop.signal, onProgress })
      .then(
        ({ cid }) => dispatch({ id, to: { cid } }),
        (error: unknown) => dispatch({ id, to: { problem: asProblem(error) } }),
      )
      .finally(() => {
        busy.current -= 1;
        next();
      });
    next();
  };
  const send = (parcels: readonly Parcel[]): void => {
    for (const parcel of parcels) {
      lastId += 1;
      const job = { id: lastId, parcel, total: parcelBytes(parcel), sent: 0, stop: new AbortController() };
      waiting.current.push(job);
      dispatch({ add: job });
    }
    next();
  };
  return { jobs, send };
}

/** Drop or choose; whoever is logged in with another role gives a token of role upload, which this page forgets. */
export function UploadBox(): VNode {
  const { role } = useSession();
  const [token, setToken] = useState('');
  const needsToken = role !== 'upload';
  const { jobs, send } = useSending(needsToken ? token : undefined);
  const isReady = !needsToken || token !== '';
  const type = ({ currentTarget }: { currentTarget: HTMLInputElement }): void => setToken(currentTarget.value.trim());
  return part(
    Panel,
    { title: 'Upload' },
    html`<div class="upload">
      ${
        needsToken &&
        html`<label class="field upload-token"><span>Token of role upload</span>
          <input type="password" value=${token} onInput=${type} autocomplete="off" spellcheck="false" />
        </label>`
      }
      ${part(DropZone, { isReady, send })}
      ${
        jobs.length > 0 &&
        html`<ul class="upload-jobs" aria-label="Uploads of this page">
          ${jobs.map((job) => part(JobLine, { key: job.id, job }))}
        </ul>`
      }
    </div>`,
  );
}

function DropZone({ isReady, send }: { isReady: boolean; send: (parcels: readonly Parcel[]) => void }): VNode {
  const [isOver, setOver] = useState(false);
  const over = (event: DragEvent): void => {
    event.preventDefault();
    setOver(isReady);
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    if (isReady && event.dataTransfer !== null) gatherDropped(event.dataTransfer.items).then(send, () => undefined);
  };
  const choose = (gather: (list: FileList) => Parcel[]) => (event: { currentTarget: HTMLInputElement }) => {
    const { currentTarget: input } = event;
    if (input.files !== null) send(gather(input.files));
    // So that the same file may be chosen again.
    input.value = '';
  };
  return html`<div class="drop ${isOver ? 'drop-over' : ''} ${isReady ? '' : 'drop-shut'}" onDragOver=${over}
    onDragLeave=${() => setOver(false)} onDrop=${drop}>
    ${part(Icon, { name: 'uploads' })}
    <p class="drop-text">${isReady ? 'Drop files or folders here' : 'Give a token of role upload to send files'}</p>
    <p class="drop-hint">Each file is one upload, a folder one with all that is in it. A CAR is taken as it is.</p>
    <div class="drop-buttons">
      <label class="button ${isReady ? '' : 'button-shut'}">Choose files<input class="unseen" type="file" name="files" multiple disabled=${!isReady}
        onChange=${choose(gatherChosen)} /></label>
      <label class="button ${isReady ? '' : 'button-shut'}">Choose a folder<input class="unseen" type="file" name="folder" webkitdirectory
        disabled=${!isReady} onChange=${choose(gatherFolder)} /></label>
    </div>
  </div>`;
}

function JobLine({ job }: { job: Job }): VNode {
  const { parcel, sent, total, cid, problem, stop } = job;
  const count = parcel.isFolder ? `${parcel.files.length} files, ` : '';
  const isMoving = cid === undefined && problem === undefined;
  return html`<li class="upload-job">
    <span class="upload-name">${parcel.name}</span>
    <span class="upload-size figure">${count}${formatBytes(parcelBytes(parcel))}</span>
    <span class="upload-state">
      ${cid !== undefined && html`${part(Chip, { tone: 'good' }, 'Stored')} ${part(Name, { text: cid, label: 'CID', href: `/dashboard/uploads/${cid}` })}`}
      ${problem && html`<span role="alert">${part(Chip, { tone: 'bad' }, 'Not stored')} ${problem.message} <code>${problem.code}</code></span>`}
      ${isMoving && part(Moving, { sent, total, name: parcel.name, stop })}
    </span>
  </li>`;
}

function Moving({
  sent,
  total,
  name,
  stop,
}: {
  sent: number;
  total: number;
  name: string;
  stop: AbortController;
}): VNode {
  const isChecking = total > 0 && sent >= total;
  return html`${part(Meter, {
    label: `Sent of ${name}`,
    value: sent,
    max: total,
    ...(isChecking && { text: 'Sent; being checked' }),
  })}
  <button type="button" class="button" onClick=${() => stop.abort()}>Stop</button>`;
}
