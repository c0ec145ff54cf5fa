import { ask, readJson, type Connection } from './connection.ts';
import { ClientError, unknownForm } from './client-error.ts';
import { fieldOf } from './field-of.ts';
import type { UploadStatus } from './upload-status.ts';

export interface CallOptions {
  signal?: AbortSignal;
}

/** An answer to a question is there within seconds, or is better asked for again. */
export const TIMEOUT_MS = 60_000;

/** Where an upload is: its pin, its deals, what it waits for. Undefined: the service has no such upload. */
export async function check(
  connection: Connection,
  cid: string,
  { signal }: CallOptions = {},
): Promise<UploadStatus | undefined> {
  try {
    const request = { path: `/check/${encodeURIComponent(cid)}`, signal, timeoutMs: TIMEOUT_MS };
    return statusOf(fieldOf(await ask(connection, request, readJson), 'value'));
  } catch (error) {
    // Any server answers 404 at a path that it does not have: only in these words it is about the upload.
    if (error instanceof ClientError && error.status === 404 && error.code === 'HTTP_ERROR') return undefined;
    throw error;
  }
}

/** What every status has is looked at, the rest taken at the service's word. */
export function statusOf(value: unknown): UploadStatus {
  const pinned = fieldOf(fieldOf(value, 'pin'), 'status');
  if (typeof pinned === 'string' && Array.isArray(fieldOf(value, 'deals'))) return value as UploadStatus;
  throw unknownForm();
}
