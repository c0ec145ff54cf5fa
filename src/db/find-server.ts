import { existsSync } from 'node:fs';
import { link, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parsePostmasterFile, POSTMASTER_FILE, readPostmasterText } from './postmaster.ts';
import { commandLine, processIdentity } from './process-identity.ts';

/** What the `postmaster.pid` of a data folder means. */
export type Found =
  /** No server runs there, or PostgreSQL itself sees that the one named is dead. */
  | { kind: 'none' }
  /** The number belongs to another program now, which PostgreSQL would take for a server. */
  | { kind: 'stale'; text: string }
  /** A server whose starter died. */
  | { kind: 'orphan'; pid: number }
  /** A server whose starter lives, or that somebody started by hand: `pid` is who has to end first. */
  | { kind: 'owned'; pid: number };

/** A server's command line names its starter, so that whoever finds it knows whether that one lives. */
const OWNER_SETTING = 'lading.owner';
const OWNER = /lading\.owner=(\d+)-(\w+)/;
/** A server writes the file at once when it makes it: one that stays empty longer is left from a full disk. */
const EMPTY_FILE_MS = 1_000;
const POLL_MS = 20;

/** Marks a server as ours, on its command line. */
export function ownerSetting(): Record<string, string> {
  return { [OWNER_SETTING]: `${process.pid}-${processIdentity(process.pid) ?? 'unknown'}` };
}

/** Who lives, and what it was called with: asked of the operating system, or of a test. */
export interface Processes {
  identity(pid: number): string | undefined;
  commandLine(pid: number): string | undefined;
}

const system: Processes = { identity: processIdentity, commandLine };

export async function findServer(dataDir: string): Promise<Found> {
  let text = await readPostmasterText(dataDir);
  for (let waitedMs = 0; text.trim() === '' && waitedMs < EMPTY_FILE_MS; waitedMs += POLL_MS) {
    if (!existsSync(join(dataDir, POSTMASTER_FILE))) return { kind: 'none' };
    await delay(POLL_MS);
    text = await readPostmasterText(dataDir);
  }
  return judgeServer(text, dataDir, system);
}

/** Decides from the file's text and the processes there are. Pure but for `processes`. */
export function judgeServer(text: string, dataDir: string, processes: Processes): Found {
  const file = parsePostmasterFile(text);
  if (file === undefined) return { kind: 'stale', text };
  if (processes.identity(file.pid) === undefined) return { kind: 'none' };
  const called = processes.commandLine(file.pid);
  // Where the system does not tell what the process is, it is safer to take it for the server.
  if (called === undefined) return { kind: 'owned', pid: file.pid };
  if (!called.includes('postgres') || !`${called} `.includes(`${dataDir} `)) return { kind: 'stale', text };
  const [, ownerPid, ownerIdentity] = OWNER.exec(called) ?? [];
  if (ownerPid === undefined) return { kind: 'owned', pid: file.pid };
  const ownerLives = processes.identity(Number(ownerPid)) === ownerIdentity;
  return ownerLives ? { kind: 'owned', pid: Number(ownerPid) } : { kind: 'orphan', pid: file.pid };
}

/** Removes a stale file, but not the one that another start has put in its place meanwhile. */
export async function removeStaleFile(dataDir: string, text: string): Promise<void> {
  const file = join(dataDir, POSTMASTER_FILE);
  const aside = `${file}.stale-${process.pid}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // PostgreSQL looks at its file every minute, and at its shared memory key at each start: this gap is not its only guard.
  if ((await readFile(aside, 'utf8')) !== text) await link(aside, file).catch(() => undefined);
  await rm(aside);
}
