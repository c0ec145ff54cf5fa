import { open } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Persona } from './provider-persona.ts';
import {
  connectionsFor,
  joinChunk,
  planChunks,
  receivedBytes,
  resumePoint,
  sizeOf,
  wholePiece,
  TransferFailed,
  type Chunk,
  type PieceFile,
} from './piece-chunks.ts';
import { isPrivateHost, requestPiece, type PieceSource } from './piece-request.ts';

/** Boost gives up after so many attempts in a row that brought no byte. */
const MAX_ATTEMPTS = 15;
const BACK_OFF_FACTOR = 1.5;

/** A broken attempt; Boost gives up at once on 4xx and tries again otherwise. */
class AttemptFailed extends Error {
  override readonly name = 'AttemptFailed';
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The file is whole in the end; chunks 1 to 4 gather beside it as `<path>-1` …, so a transfer goes on after a crash. */
export interface Transfer extends PieceSource, PieceFile {
  /** Read anew at each step, so that faults take hold of a running transfer. */
  persona: () => Persona;
  /** HEAD is tried at least so often, where the persona would try less. */
  minHeadAttempts: number;
  /** Seeded; for the jitter of pauses. */
  random: () => number;
  signal: AbortSignal;
  /** Number of the connection among all of this provider's, for the persona's cuts. */
  nextConnection: () => number;
}

/**
 * Downloads a piece as Boost's httptransport does: HEAD must be 200 with exactly the deal's size, then one or five
 * parallel ranges whose end is one past the last byte wanted; a broken one goes on where it stopped. Throws
 * {@link TransferFailed} when it is hopeless, the signal's reason when called off.
 */
export async function fetchPiece(transfer: Transfer): Promise<void> {
  checkAddress(transfer);
  const isCurio = transfer.persona().software === 'curio';
  const chunks = isCurio ? [wholePiece(transfer)] : planChunks(transfer);
  if ((await sizeOf(transfer.path)) < transfer.sizeBytes) {
    if (!isCurio) await checkHead(transfer);
    await downloadAll(transfer, chunks);
  }
  for (const chunk of chunks) await joinChunk(chunk);
}

function checkAddress({ url, persona }: Transfer): void {
  if (!/^https?:$/.test(new URL(url).protocol)) throw new TransferFailed(`unsupported protocol scheme in ${url}`);
  if (!persona().allowPrivateIps && isPrivateHost(new URL(url).hostname)) {
    throw new TransferFailed('downloading from private ip addresses is not allowed');
  }
}

async function checkHead(transfer: Transfer): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await headOnce(transfer);
      return;
    } catch (error) {
      const attempts = Math.max(transfer.minHeadAttempts, transfer.persona().headAttempts);
      if (transfer.signal.aborted || attempt >= attempts) throw error;
      await sleep(transfer.persona().retryMinMs, undefined, { signal: transfer.signal });
    }
  }
}

async function headOnce(transfer: Transfer): Promise<void> {
  const response = await requestPiece('HEAD', transfer, { signal: transfer.signal }).catch((error: unknown) => {
    transfer.signal.throwIfAborted();
    throw new TransferFailed(`failed to send HEAD http req: ${textOf(error)}`, { cause: error });
  });
  response.resume();
  const { statusCode, statusMessage, headers } = response;
  if (statusCode !== 200) {
    throw new TransferFailed(`http HEAD req failed: code: ${statusCode}, status: ${statusCode} ${statusMessage}`);
  }
  const length = headers['content-length'];
  if (length === undefined) throw new TransferFailed(`can't determine deal size from the head request, no header`);
  if (Number(length) !== transfer.sizeBytes) {
    throw new TransferFailed(`deal size mismatch: head: ${length}, dealInfo: ${transfer.sizeBytes}`);
  }
}

async function downloadAll(transfer: Transfer, chunks: Chunk[]): Promise<void> {
  let attempts = 0;
  let onDisk = await receivedBytes(transfer);
  for (;;) {
    const results = await Promise.allSettled(chunks.map((chunk) => downloadChunk(transfer, chunk)));
    transfer.signal.throwIfAborted();
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [asFailure(result.reason)] : []));
    const [failure] = failures;
    if (failure === undefined) return;
    // Boost takes any 4xx as final at once; Curio tries as often as with every other fault.
    const isFinal = transfer.persona().software === 'boost';
    const refused = failures.find(({ status }) => isFinal && Math.floor(status / 100) === 4);
    if (refused !== undefined) throw new TransferFailed(refused.message, { cause: refused });
    const now = await receivedBytes(transfer);
    attempts = now > onDisk ? 1 : attempts + 1;
    onDisk = now;
    if (attempts >= MAX_ATTEMPTS) {
      throw new TransferFailed(
        `could not finish transfer even after ${attempts} attempts, lastErr: ${failure.message}`,
      );
    }
    await sleep(pauseMs(transfer, attempts), undefined, { signal: transfer.signal });
  }
}

function pauseMs({ persona, random }: Transfer, attempt: number): number {
  const { retryMinMs, retryMaxMs } = persona();
  const longest = Math.min(retryMaxMs, retryMinMs * BACK_OFF_FACTOR ** (attempt - 1));
  return retryMinMs + random() * (longest - retryMinMs);
}

/** Brings what is missing of one chunk; done when the server has said so, even if bytes are missing (see {@link joinChunk}). */
async function downloadChunk(transfer: Transfer, chunk: Chunk): Promise<void> {
  const from = await resumePoint(chunk);
  if (from >= chunk.end) return;
  // Boost's ranges end one past the last byte it wants, Curio's do not.
  const range = `bytes=${from}-${transfer.persona().software === 'curio' ? chunk.end - 1 : chunk.end}`;
  const response = await requestPiece('GET', transfer, { range, signal: transfer.signal }).catch((error: unknown) => {
    throw new AttemptFailed(`failed to send http req: ${textOf(error)}`, 0, { cause: error });
  });
  const isWhole = response.statusCode === 200 && (transfer.persona().software === 'boost' || from === 0);
  if (!isWhole && response.statusCode !== 206) {
    response.destroy();
    const status = `${response.statusCode} ${response.statusMessage}`;
    throw new AttemptFailed(
      `http req failed: code: ${response.statusCode}, status: ${status}`,
      response.statusCode ?? 0,
    );
  }
  await saveBody(transfer, chunk, { response, wanted: chunk.end - from });
}

async function saveBody(
  transfer: Transfer,
  chunk: Chunk,
  { response, wanted }: { response: IncomingMessage; wanted: number },
): Promise<void> {
  const cutAfter = plannedCut(transfer, wanted);
  const startedMs = performance.now();
  let saved = 0;
  const file = await open(chunk.path, 'a');
  try {
    for await (const bytes of response as AsyncIterable<Uint8Array>) {
      // The range's end is one past the last byte wanted, so the answer may hold a byte too many.
      const kept = bytes.subarray(0, Math.min(wanted, cutAfter) - saved);
      await file.appendFile(kept);
      saved += kept.length;
      if (saved >= wanted) return;
      if (saved >= cutAfter) throw new Error('this provider cut its own connection');
      await keepRate(transfer, saved, startedMs);
    }
  } catch (error) {
    throw new AttemptFailed(`error reading from http response stream: ${textOf(error)}`, 0, { cause: error });
  } finally {
    response.destroy();
    await file.close();
  }
}

/** After how many bytes the persona cuts this connection; at least one byte comes through, so a transfer always ends. */
function plannedCut({ persona, nextConnection }: Transfer, wanted: number): number {
  const { dropConnections, dropOutOf } = persona();
  const isCut = dropOutOf > 0 && nextConnection() % dropOutOf < dropConnections;
  return isCut ? Math.ceil(wanted / 2) : Number.POSITIVE_INFINITY;
}

async function keepRate({ persona, signal, sizeBytes }: Transfer, saved: number, startedMs: number): Promise<void> {
  const { fetchBytesPerSecond } = persona();
  if (fetchBytesPerSecond === 0) return;
  // The bound is for the whole transfer: each of its parallel connections gets its part.
  const dueMs = startedMs + (saved * connectionsFor(sizeBytes) * 1_000) / fetchBytesPerSecond;
  const waitMs = dueMs - performance.now();
  if (waitMs > 1) await sleep(waitMs, undefined, { signal });
}

function asFailure(reason: unknown): AttemptFailed {
  return reason instanceof AttemptFailed ? reason : new AttemptFailed(textOf(reason), 0, { cause: reason });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
