import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { PieceDigest } from '../filecoin/commp/commp.ts';

export type ThreadRequest =
  | { kind: 'start' }
  | { kind: 'bytes'; buffer: ArrayBuffer; length: number }
  | { kind: 'end'; level: number | undefined };
export type ThreadAnswer = { kind: 'taken'; buffer: ArrayBuffer } | { kind: 'digest'; digest: PieceDigest };

/** Piece commitments made outside the main thread, so that its event loop only reads and copies. */
export interface CommpThreads extends AsyncDisposable {
  /**
   * The commitment of all bytes of the source at its natural size; with `level`, `root` is the one over the 2^level leaves
   * that the bytes begin and zeros fill. Rejects with what the source throws, and when the thread dies. A chunk of the
   * source is done with when the next one is asked for.
   */
  hash(source: AsyncIterable<Uint8Array>, level?: number): Promise<PieceDigest>;
}

/** One copy of this size keeps the event loop for less than 0.1 ms, and a message for it costs nothing beside its hashing. */
const BUFFER_BYTES = 512 * 1024;
/** One is filled while the other is hashed. */
const BUFFERS_PER_THREAD = 2;
/** Beyond this the reads of one process are the limit, not its hashing. */
const MAX_THREADS = 8;

/** A thread and the stream it hashes. Its buffers go to the thread and come back; memory is shared with nobody. */
class HashThread {
  readonly #worker = new Worker(new URL('./commp-worker.ts', import.meta.url));
  readonly #free = Array.from({ length: BUFFERS_PER_THREAD }, () => new ArrayBuffer(BUFFER_BYTES));
  #digest: PieceDigest | undefined;
  #failure: Error | undefined;
  #changed = Promise.withResolvers<void>();

  constructor() {
    // Without work it keeps no process alive.
    this.#worker.unref();
    this.#worker.on('message', (answer: ThreadAnswer) => {
      if (answer.kind === 'taken') this.#free.push(answer.buffer);
      else this.#digest = answer.digest;
      this.#change();
    });
    const fail = (error: Error) => {
      this.#failure ??= error;
      this.#change();
    };
    this.#worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on('exit', (code) => fail(new Error(`a hashing thread ended with code ${code}`)));
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  async hash(source: AsyncIterable<Uint8Array>, level: number | undefined): Promise<PieceDigest> {
    this.#worker.ref();
    try {
      this.#post({ kind: 'start' });
      for await (const { buffer, length } of this.#buffered(source)) this.#post({ kind: 'bytes', buffer, length });
      this.#post({ kind: 'end', level });
      return await this.#until(() => this.#takeDigest());
    } finally {
      this.#worker.unref();
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  /** The source's bytes in full buffers, the last one shorter. */
  async *#buffered(source: AsyncIterable<Uint8Array>): AsyncGenerator<{ buffer: ArrayBuffer; length: number }> {
    let buffer: ArrayBuffer | undefined;
    let length = 0;
    try {
      for await (const chunk of source) {
        for (let at = 0; at < chunk.length; ) {
          buffer ??= await this.#until(() => this.#free.pop());
          const taken = Math.min(chunk.length - at, BUFFER_BYTES - length);
          new Uint8Array(buffer).set(chunk.subarray(at, at + taken), length);
          at += taken;
          length += taken;
          if (length < BUFFER_BYTES) continue;
          yield { buffer, length };
          buffer = undefined;
          length = 0;
        }
      }
      if (buffer === undefined) return;
      yield { buffer, length };
      buffer = undefined;
    } finally {
      // The source failed: the next stream needs this buffer.
      if (buffer !== undefined) this.#free.push(buffer);
    }
  }

  #post(request: ThreadRequest): void {
    this.#worker.postMessage(request, request.kind === 'bytes' ? [request.buffer] : []);
  }

  #takeDigest(): PieceDigest | undefined {
    const digest = this.#digest;
    this.#digest = undefined;
    return digest;
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #until<T>(find: () => T | undefined): Promise<T> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const found = find();
      if (found !== undefined) return found;
      await this.#changed.promise;
    }
  }
}

/**
 * A pool of threads that start at need; streams wait for one in the order they come. Plain worker_threads, because a
 * pool library's task is one call and one answer, and what a thread holds here is a stream with its backpressure.
 */
class ThreadPool implements CommpThreads {
  readonly #most: number;
  readonly #idle: HashThread[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #all = new Set<HashThread>();
  #busy = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async hash(source: AsyncIterable<Uint8Array>, level?: number): Promise<PieceDigest> {
    await this.#turn();
    const thread = this.#idle.pop() ?? this.#start();
    try {
      return await thread.hash(source, level);
    } finally {
      if (thread.hasFailed) this.#all.delete(thread);
      else this.#idle.push(thread);
      this.#pass();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((thread) => thread.end()));
  }

  #start(): HashThread {
    const thread = new HashThread();
    this.#all.add(thread);
    return thread;
  }

  async #turn(): Promise<void> {
    if (this.#busy < this.#most) this.#busy += 1;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
  }

  /** Whose turn ends passes it on; only without anyone waiting one more is free. */
  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy -= 1;
    else next();
  }
}

/** Threads of the caller's own; disposing ends them, and fails what they hash. */
export function openCommpThreads(threads: number): CommpThreads {
  return new ThreadPool(threads);
}

let shared: CommpThreads | undefined;

/** The threads that all streams of this process share, one a core; they end with the process. */
export function processThreads(): CommpThreads {
  shared ??= openCommpThreads(Math.min(availableParallelism(), MAX_THREADS));
  return shared;
}
