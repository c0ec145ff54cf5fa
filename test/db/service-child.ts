import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parsePostmasterFile, readPostmasterText, stopProcess } from '../../src/db/postmaster.ts';

/** What embedded-service.ts prints: one of the two shapes. */
export interface Said {
  pid?: number;
  dataDir?: string;
  url?: string;
  starts?: number;
  code?: string;
  message?: string;
}

export interface ServiceChild {
  child: ChildProcess;
  /** Its one line on standard output, or undefined when it ended without one. */
  said: Promise<Said | undefined>;
  log(): string;
  end(signal: NodeJS.Signals): Promise<number | null>;
}

interface Options {
  dataDir: string;
  sharedFolders?: string[];
  /** A copy of the repository elsewhere. */
  root?: string;
  user?: { uid: number; gid: number };
}

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

export function startService({ dataDir, sharedFolders = [], root = REPOSITORY, user }: Options): ServiceChild {
  const fixture = join(root, 'test/db/embedded-service.ts');
  const child = spawn(process.execPath, [fixture, dataDir, ...sharedFolders], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...user,
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const line = once(createInterface(child.stdout), 'line').then(([text]) => JSON.parse(String(text)) as Said);
  const ended = once(child, 'close');
  return {
    child,
    said: Promise.race([line, ended.then(() => undefined)]),
    log: () => log,
    end: async (signal) => {
      child.kill(signal);
      await ended;
      return child.exitCode;
    },
  };
}

export interface ServiceFolder extends AsyncDisposable {
  path: string;
  dataDir: string;
  start(options?: Partial<Options>): ServiceChild;
}

/** A DATA_DIR to be, and every service started on it ended at the end, with its PostgreSQL. */
export async function serviceFolder(): Promise<ServiceFolder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'lading-data-')));
  await chmod(path, 0o755);
  const dataDir = join(path, 'data');
  const children: ServiceChild[] = [];
  const servers = new Set([join(dataDir, 'postgres')]);
  return {
    path,
    dataDir,
    start: (options) => {
      const service = startService({ dataDir, ...options });
      children.push(service);
      void service.said.then((said) => said?.dataDir !== undefined && servers.add(said.dataDir));
      return service;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { child } of children) child.kill('SIGKILL');
      for (const server of servers) await quit(server);
      await rm(path, { recursive: true, force: true });
    },
  };
}

async function quit(dataDir: string): Promise<void> {
  const file = parsePostmasterFile(await readPostmasterText(dataDir));
  if (file?.dataDir === dataDir) await stopProcess(file.pid, [['SIGQUIT', 10_000]]);
}
