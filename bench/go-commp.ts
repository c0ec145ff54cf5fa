import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('./go', import.meta.url));
/** Where Go's own installer puts it; not always in PATH. */
const USUAL_FOLDER = '/usr/local/go/bin';
/** Fetching its few modules and compiling them from nothing. */
const BUILD_MS = 180_000;

interface GoTook {
  root: string;
  cpuS: number;
}

export interface GoCommp extends AsyncDisposable {
  /** The commitment of so many bytes of the bench's payload, on one thread. */
  run(bytes: number): Promise<GoTook>;
}

async function build(binary: string): Promise<string | undefined> {
  const env = { ...process.env, PATH: [process.env['PATH'], USUAL_FOLDER].join(delimiter) };
  try {
    await promisify(execFile)('go', ['build', '-o', binary, '.'], { cwd: FOLDER, env, timeout: BUILD_MS });
    return undefined;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return missing ? 'there is no Go here' : `it cannot be built: ${String(error)}`;
  }
}

/** go-fil-commp-hashhash in a process of its own, fetched and built by Go; a text that says why where that fails. */
export async function openGoCommp(): Promise<GoCommp | string> {
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-go-'));
  const binary = join(folder, 'commp');
  const fault = await build(binary);
  if (fault !== undefined) {
    await rm(folder, { recursive: true });
    return fault;
  }
  const env = { ...process.env, GOMAXPROCS: '1' };
  const child = spawn(binary, [], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async run(bytes) {
      child.stdin.write(`${bytes}\n`);
      const [root = '', , cpuNs] = String((await answers.next()).value).split(' ');
      return { root, cpuS: Number(cpuNs) / 1e9 };
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}
