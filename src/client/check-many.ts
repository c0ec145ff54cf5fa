import { statusOf, TIMEOUT_MS, type CallOptions } from './check.ts';
import { unknownForm } from './client-error.ts';
import { ask, readJson, type Connection } from './connection.ts';
import { fieldOf } from './field-of.ts';
import type { UploadStatus } from './upload-status.ts';

/** One of the CIDs that were asked for. */
export interface CheckedUpload {
  cid: string;
  /** Undefined: there is none, and `error` says why: it is no CID, or the service has no such upload. */
  status: UploadStatus | undefined;
  error?: { code: string; message: string };
}

/** As many as the service takes in one request. */
const MAX_CIDS = 1_000;

/** Many uploads, in as few requests as the service allows, in the order of the list. */
export async function checkMany(
  connection: Connection,
  cids: readonly string[],
  options: CallOptions = {},
): Promise<CheckedUpload[]> {
  const found: CheckedUpload[] = [];
  for (let at = 0; at < cids.length; at += MAX_CIDS) {
    found.push(...(await checkSome(connection, cids.slice(at, at + MAX_CIDS), options)));
  }
  return found;
}

async function checkSome(
  connection: Connection,
  cids: readonly string[],
  { signal }: CallOptions,
): Promise<CheckedUpload[]> {
  const request = {
    path: '/check',
    method: 'POST' as const,
    headers: { 'content-type': 'application/json' },
    body: async () => ({ body: JSON.stringify({ cids }) }),
    signal,
    timeoutMs: TIMEOUT_MS,
  };
  const items = fieldOf(await ask(connection, request, readJson), 'value');
  if (!Array.isArray(items) || items.length !== cids.length) throw unknownForm();
  return cids.map((cid, at) => checkedOf(cid, items[at]));
}

function checkedOf(cid: string, item: unknown): CheckedUpload {
  const error = fieldOf(item, 'error');
  const code = fieldOf(error, 'code');
  const message = fieldOf(error, 'message');
  if (typeof code !== 'string' || typeof message !== 'string') return { cid, status: statusOf(item) };
  return { cid, status: undefined, error: { code, message } };
}
