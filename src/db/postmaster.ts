import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { OsUser } from './os-user.ts';
import { program, type Binaries } from './postgres-binaries.ts';
import { processIdentity } from './process-identity.ts';

/** What a running server writes to `postmaster.pid` in its data folder. */
export interface PostmasterFile {
  pid: number;
  dataDir: string;
  port: number;
  ready: boolean;
}

export interface ServerOptions {
  binaries: Binaries;
  user: OsUser | undefined;
  dataDir: string;
  /** Written to by the server itself, so that it outlives us without a broken pipe. */
  logFile: string;
  settings: Record<string, string>;
}

/** Short enough to be unseen in a start of a second, long enough to cost nothing. */
const POLL_MS = 20;
/** The last of the server's log that goes into an error message. */
const LOG_TAIL_BYTES = 2_048;
/** Lines of postmaster.pid: pid, data folder, start time, port, socket folder, listen address, shared memory key, status. */
const PORT_LINE = 3;
const STATUS_LINE = 7;

export const POSTMASTER_FILE = 'postmaster.pid';

/** The environment of PostgreSQL's programs: none of our secrets, and no PG* setting of the caller. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const { PATH, TMPDIR, SystemRoot } = process.env;
  return {
    LC_ALL: 'C',
    TZ: 'UTC',
    ...(PATH && { PATH }),
    ...(TMPDIR && { TMPDIR }),
    ...(SystemRoot && { SystemRoot }),
  };
}

export function spawnUser(user: OsUser | undefined): { uid?: number; gid?: number } {
  return user === undefined ? {} : { uid: user.uid, gid: user.gid };
}

/** Starts a server in a process group of its own: Ctrl-C in a terminal reaches us first, and we stop it in order. */
export function spawnServer(options: ServerOptions): ChildProcess {
  const { binaries, user, dataDir, logFile, settings } = options;
  const log = openSync(logFile, 'a', 0o600);
  try {
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(program(binaries, 'postgres'), ['-D', dataDir, ...args], {
      cwd: '/',
      env: serverEnvironment(),
      stdio: ['ignore', log, log],
      detached: true,
      ...spawnUser(user),
    });
    child.on('error', (error) => appendFileSync(logFile, `${error.message}\n`));
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/** The text of `postmaster.pid`, empty where there is none. */
export async function readPostmasterText(dataDir: string): Promise<string> {
  try {
    return await readFile(join(dataDir, POSTMASTER_FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** Undefined: nothing that a server wrote. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return {
    pid,
    dataDir: lines[1] ?? '',
    port: Number(lines[PORT_LINE]),
    ready: lines[STATUS_LINE]?.trim() === 'ready',
  };
}

export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** Resolves 'ready' when the server takes connections, 'ended' when it did not come so far. */
export async function untilReady(
  child: ChildProcess,
  dataDir: string,
  signal: AbortSignal,
): Promise<'ready' | 'ended'> {
  while (!hasEnded(child)) {
    const file = parsePostmasterFile(await readPostmasterText(dataDir));
    if (file?.pid === child.pid && file?.ready) return 'ready';
    await delay(POLL_MS, undefined, { signal });
  }
  return 'ended';
}

/** True once that very process is gone, false when it is still there after the time. */
async function untilGone(pid: number, identity: string, withinMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < withinMs; waitedMs += POLL_MS) {
    if (processIdentity(pid) !== identity) return true;
    await delay(POLL_MS);
  }
  return processIdentity(pid) !== identity;
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Sends one signal after another, each with its time to act, until the process is gone; tells whether it is.
 * To a server SIGINT means: end sessions, write a checkpoint, stop; SIGQUIT: stop now, recover at the next start.
 */
export async function stopProcess(pid: number, steps: readonly [NodeJS.Signals, number][]): Promise<boolean> {
  const identity = processIdentity(pid);
  if (identity === undefined) return true;
  for (const [signal, withinMs] of steps) {
    signalProcess(pid, signal);
    if (await untilGone(pid, identity, withinMs)) return true;
  }
  return false;
}

/** The end of the server's own log, from `fromByte` on: what it says about this start. */
export async function readLogTail(logFile: string, fromByte = 0): Promise<string> {
  await using file = await open(logFile, 'r');
  const { size } = await file.stat();
  const start = Math.max(fromByte, size - LOG_TAIL_BYTES);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(Math.max(size - start, 0)), position: start });
  return buffer.subarray(0, bytesRead).toString('utf8').trim();
}
