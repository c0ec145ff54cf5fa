import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
/** What /proc counts CPU time in, wherever Linux runs Node. */
const TICKS_PER_SECOND = 100;
const MIB_IN_KIB = 1024;

/** `lading serve` in a process of its own, measured from outside by /proc; its PostgreSQL is another process. */
export interface ServiceChild extends AsyncDisposable {
  url: string;
  token: string;
  /** CPU time of the process and its threads since it began. */
  cpuSeconds(): Promise<number>;
  rssMib(): Promise<{ now: number; peak: number }>;
}

async function urlOf(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error('the service has no stderr');
  const lines = createInterface({ input: child.stderr });
  let last = '';
  for await (const line of lines) {
    const url = /^lading serves (\S+)/.exec(line)?.[1];
    if (url !== undefined) {
      child.stderr.resume();
      return url;
    }
    last = line;
  }
  throw new Error(`the service did not start: ${last}`);
}

export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // Fields 14 and 15, counted behind the name, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export async function rssMib(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / MIB_IN_KIB;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export async function startServiceChild(
  folder: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<ServiceChild> {
  const token = 'bench-token';
  const env = {
    ...process.env,
    HOST: '127.0.0.1',
    PORT: '0',
    DATA_DIR: join(folder, 'data'),
    API_TOKENS: `bench:upload:${token}`,
    MIN_FREE_SPACE: '1MiB',
    LOG_LEVEL: 'warn',
    ...settings,
  };
  const child = spawn(process.execPath, [...process.execArgv, MAIN, 'serve'], {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the service could not be started');
  const ended = once(child, 'exit');
  const url = await urlOf(child);
  return {
    url,
    token,
    cpuSeconds: () => cpuSeconds(pid),
    rssMib: () => rssMib(pid),
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
