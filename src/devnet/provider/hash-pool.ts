import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashReport, HashRequest } from './hash-worker.ts';

/** All providers of a devnet share two workers: the demo's machine has two cores. */
const WORKERS = 2;

interface Job {
  path: string;
  resolve: (report: HashReport) => void;
  reject: (error: Error) => void;
}

/** Computes piece commitments of files outside the main thread, one file per worker at a time, first come first served. */
export class HashPool {
  readonly #waiting: Job[] = [];
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Job>();
  #closed = false;

  /** Rejects when the file cannot be read, or when the pool closes first. */
  hash(path: string): Promise<HashReport> {
    if (this.#closed) return Promise.reject(new Error('the hash pool is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ path, resolve, reject });
      this.#dispatch();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const jobs = [...this.#waiting.splice(0), ...this.#busy.values()];
    const workers = [...this.#idle.splice(0), ...this.#busy.keys()];
    this.#busy.clear();
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const job of jobs) job.reject(new Error('the hash pool closed before this file was hashed'));
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const worker = this.#idle.pop() ?? (this.#busy.size < WORKERS ? this.#start() : undefined);
      if (worker === undefined) return;
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#busy.set(worker, job);
      const request: HashRequest = { path: job.path };
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
      worker.postMessage(request);
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('./hash-worker.ts', import.meta.url));
    // An idle worker keeps no process alive.
    worker.unref();
    worker.on('message', (answer: HashAnswer) => {
      const job = this.#take(worker);
      if (!this.#closed) this.#idle.push(worker);
      if ('report' in answer) job?.resolve(answer.report);
      else job?.reject(new Error(answer.error));
      this.#dispatch();
    });
    worker.on('error', (error) => {
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#take(worker)?.reject(error instanceof Error ? error : new Error(String(error)));
      this.#dispatch();
    });
    return worker;
  }

  #take(worker: Worker): Job | undefined {
    const job = this.#busy.get(worker);
    this.#busy.delete(worker);
    return job;
  }
}
