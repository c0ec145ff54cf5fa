import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** Cold start of an embedded PostgreSQL on a busy machine takes a few seconds; more than this is a fault. */
const READY_MS = 30_000;

/** The real service as a child process, so that a test can end it as a machine would. */
export class ServiceProcess {
  readonly #env: Record<string, string>;
  readonly #url: string;
  #child: ChildProcess | undefined;
  #log = '';

  constructor(env: Record<string, string>) {
    this.#env = env;
    this.#url = `http://127.0.0.1:${env['PORT']}`;
  }

  /** What the service wrote last, for the message of a failing test. */
  get log(): string {
    return this.#log.slice(-8_000);
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, 'serve'], {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
    await this.#untilReady(child);
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + READY_MS;
    while (Date.now() < deadline) {
      if (child.exitCode !== null)
        throw new Error(`the service ended with ${child.exitCode} before it was ready:\n${this.log}`);
      const ready = await fetch(`${this.#url}/livez`).then(
        (response) => response.ok,
        () => false,
      );
      if (ready) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the service was not ready within ${READY_MS} ms:\n${this.log}`);
  }

  /** SIGKILL, and nothing else: what a power cut leaves. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM; returns the exit code. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    return child.exitCode;
  }
}
