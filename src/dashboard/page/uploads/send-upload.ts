import { ApiProblem } from '../data/call-api.ts';

/** One upload of the page: a file, or a folder with all that is in it. */
export interface Parcel {
  name: string;
  files: readonly { path: string; file: File }[];
  isFolder: boolean;
}

interface Sending {
  /** Undefined: the session's cookie says who sends. */
  token: string | undefined;
  signal: AbortSignal;
  /** Bytes that left, of all of the body. */
  onProgress: (sent: number, total: number) => void;
}

interface Sent {
  cid: string;
}

const CAR_TYPE = 'application/vnd.ipld.car';

export function parcelBytes({ files }: Parcel): number {
  return files.reduce((sum, { file }) => sum + file.size, 0);
}

/** A CAR as it is, any other file as one file, a folder as a form: the service packs both as UnixFS. */
function bodyOf({ files, isFolder }: Parcel): { body: Blob | FormData; type: string | undefined } {
  const [first] = files;
  if (isFolder || first === undefined) {
    const form = new FormData();
    for (const { path, file } of files) form.append('file', file, path);
    return { body: form, type: undefined };
  }
  const isCar = first.file.name.toLowerCase().endsWith('.car');
  return { body: first.file, type: isCar ? CAR_TYPE : first.file.type || 'application/octet-stream' };
}

/** `fetch` tells nobody how much of a body has left. Throws `ApiProblem`. */
export function sendParcel(parcel: Parcel, { token, signal, onProgress }: Sending): Promise<Sent> {
  const { body, type } = bodyOf(parcel);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/upload');
    request.responseType = 'json';
    if (token !== undefined) request.setRequestHeader('authorization', `Bearer ${token}`);
    if (type !== undefined) request.setRequestHeader('content-type', type);
    request.upload.addEventListener('progress', ({ loaded, total }) => onProgress(loaded, total));
    request.addEventListener('load', () => {
      const answer = request.response as Answer | null;
      if (answer?.ok === true) resolve({ cid: answer.value.cid });
      else reject(refusalOf(request.status, answer));
    });
    request.addEventListener('error', () => reject(brokenOff()));
    request.addEventListener('abort', () =>
      reject(new ApiProblem({ status: 0, code: 'STOPPED', detail: 'You stopped it.' })),
    );
    signal.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

type Answer = { ok: true; value: Sent } | { ok: false; error: { code: string; message: string } };

function refusalOf(status: number, answer: Answer | null): ApiProblem {
  const given = answer?.ok === false ? answer.error : undefined;
  const detail = given?.message ?? `The service answered ${status} and no reason.`;
  return new ApiProblem({ status, code: given?.code ?? 'HTTP_ERROR', detail });
}

function brokenOff(): ApiProblem {
  const detail = 'The connection broke. Send it again: what arrived whole is not stored twice.';
  return new ApiProblem({ status: 0, code: 'UNREACHABLE', detail });
}
