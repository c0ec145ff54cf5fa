import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { LadingError } from '../errors.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { request, type ServiceClient } from './service-client.ts';
import type { UploadSource } from './upload-source.ts';

export interface SendOptions {
  client: ServiceClient;
  signal: AbortSignal;
  /** Bytes that were just handed to the network. */
  onBytes(bytes: number): void;
  /** One line for the person who waits. */
  say(line: string): void;
  wait?: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

export interface Sent {
  /** `known`: the service had all of it before. */
  outcome: 'sent' | 'known';
  sentBytes: number;
  /** What the service says of the upload. */
  value: unknown;
}

/** A service that restarts is back within this many doublings of the first wait: about half a minute. */
const MAX_BREAKS = 5;
const FIRST_WAIT_MS = 1_000;

const statusSchema = Compile(
  Type.Object({
    value: Type.Object({
      pin: Type.Object({ status: Type.String() }),
      queueing: Type.Optional(
        Type.Object({ missing: Type.Optional(Type.Object({ count: Type.Number(), first: Type.String() })) }),
      ),
    }),
  }),
);

interface Status {
  pinned: boolean;
  missing: { count: number; first: string } | undefined;
  value: unknown;
}

/**
 * Sends what the service does not have: nothing when the upload is pinned, else part by part, and after a break or an
 * earlier run the part with the first missing block until none is missing.
 */
export async function sendUpload(source: UploadSource, options: SendOptions): Promise<Sent> {
  const known = await findStatus(source, options);
  if (known?.pinned) return { outcome: 'known', sentBytes: 0, value: known.value };
  const walk = new PartWalk(source, known);
  let sentBytes = 0;
  let breaks = 0;
  for (let part: number | undefined = walk.first(); part !== undefined; ) {
    try {
      const status = await sendPart(source, part, options);
      sentBytes += source.partBytes[part] ?? 0;
      breaks = 0;
      if (status.missing === undefined) return { outcome: 'sent', sentBytes, value: status.value };
      part = walk.after(part, status);
    } catch (error) {
      if (!isBreak(error) || breaks >= MAX_BREAKS || options.signal.aborted) throw error;
      options.say(`${source.name}: the connection broke, trying again`);
      await (options.wait ?? waitFor)(FIRST_WAIT_MS * 2 ** breaks, options.signal);
      breaks += 1;
    }
  }
  throw new LadingError('UPLOAD_INCOMPLETE', `${source.name}: all was sent, and the service still misses blocks`);
}

/** Which part comes next: each once in order where the service knows nothing, else the one with the first missing block. */
class PartWalk {
  readonly #source: UploadSource;
  readonly #known: Status | undefined;
  readonly #sent = new Set<number>();

  constructor(source: UploadSource, known: Status | undefined) {
    this.#source = source;
    this.#known = known;
  }

  first(): number {
    return this.#missingPart(this.#known) ?? 0;
  }

  after(part: number, status: Status): number | undefined {
    this.#sent.add(part);
    const next = this.#known?.missing === undefined && part + 1 < this.#source.partBytes.length ? part + 1 : undefined;
    const wanted = next ?? this.#missingPart(status);
    return wanted === undefined || this.#sent.has(wanted) ? undefined : wanted;
  }

  #missingPart(status: Status | undefined): number | undefined {
    return status?.missing === undefined ? undefined : this.#source.partOf(status.missing.first);
  }
}

async function sendPart(source: UploadSource, part: number, options: SendOptions): Promise<Status> {
  const { client, signal, onBytes } = options;
  // A fault of our own would reach us as a broken connection, and be tried again.
  let fault: Error | undefined;
  async function* counted() {
    try {
      for await (const chunk of source.readPart(part)) {
        onBytes(chunk.length);
        yield chunk;
      }
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }
  const headers = {
    'content-type': 'application/vnd.ipld.car',
    'content-length': String(source.partBytes[part]),
  };
  try {
    const body = ReadableStream.from(counted());
    const response = await request(client, '/upload', { method: 'POST', body, duplex: 'half', headers, signal });
    return parseStatus(await response.json());
  } catch (error) {
    throw fault ?? error;
  }
}

/** Undefined when the service never heard of it. */
async function findStatus(source: UploadSource, { client, signal }: SendOptions): Promise<Status | undefined> {
  try {
    const response = await request(client, `/check/${canonicalCid(source.root)}`, { signal });
    return parseStatus(await response.json());
  } catch (error) {
    if (error instanceof LadingError && error.details['status'] === 404) return undefined;
    throw error;
  }
}

function parseStatus(answer: unknown): Status {
  if (!statusSchema.Check(answer)) throw new LadingError('ANSWER_UNKNOWN', 'the service answers in an unknown form');
  const { value } = answer;
  return { pinned: value.pin.status === 'pinned', missing: value.queueing?.missing, value };
}

function isBreak(error: unknown): boolean {
  return error instanceof LadingError && error.code === 'SERVICE_UNREACHABLE';
}

async function waitFor(waitMs: number, signal: AbortSignal): Promise<void> {
  await delay(waitMs, undefined, { signal });
}
