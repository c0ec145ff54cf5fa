import { statusOf } from './check.ts';
import { ask, readJson, type Connection } from './connection.ts';
import { fieldOf } from './field-of.ts';
import { streamOf } from './streams.ts';
import type { UploadStatus } from './upload-status.ts';

/** One request's worth of an upload: a whole CAR with the root's block in it. */
export interface Part {
  bytes: number;
  /** Its bytes, anew each time. */
  read(): AsyncGenerator<Uint8Array>;
}

export interface PartOptions {
  /** Told how much of the part was handed to the network so far; from 0 again where it is sent again. */
  onBytes(bytes: number): void;
  signal: AbortSignal | undefined;
}

/**
 * Sends a part until it is delivered: a part that comes twice changes nothing. Answers the status of the upload then.
 * Not bounded in time, as the part may be large and the line slow: a platform's own limits hold.
 */
export async function sendPart(connection: Connection, part: Part, options: PartOptions): Promise<UploadStatus> {
  const { signal, onBytes } = options;
  // A fault of our own would look like a broken connection, and be tried again.
  let fault: Error | undefined;
  async function* counted(): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    onBytes(0);
    try {
      for await (const chunk of part.read()) {
        bytes += chunk.length;
        yield chunk;
        onBytes(bytes);
      }
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }
  const request = {
    path: '/upload',
    method: 'POST' as const,
    headers: headersOf(part),
    body: async () => bodyOf(counted()),
    bodyFault: () => fault,
    signal,
  };
  const answer = await ask(connection, request, readJson);
  onBytes(part.bytes);
  return statusOf(fieldOf(answer, 'value'));
}

/** Browsers send streams over HTTP/2 alone, or not at all, and know the length of what they send. */
const SENDS_STREAMS = !('document' in globalThis || 'WorkerGlobalScope' in globalThis);

function headersOf({ bytes }: Part): Record<string, string> {
  const type = { 'content-type': 'application/vnd.ipld.car' };
  return SENDS_STREAMS ? { ...type, 'content-length': String(bytes) } : type;
}

async function bodyOf(chunks: AsyncGenerator<Uint8Array>): Promise<RequestInit & { duplex?: 'half' }> {
  if (SENDS_STREAMS) return { body: streamOf(chunks), duplex: 'half' };
  const held: Uint8Array<ArrayBuffer>[] = [];
  // A copy: nobody shares its memory, which a Blob does not take, and what it is a view of can go.
  for await (const chunk of chunks) held.push(Uint8Array.from(chunk));
  return { body: new Blob(held) };
}
