import { readFileSync } from 'node:fs';
import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LadingError } from '../errors.ts';

/** An account of the operating system, as `spawn` takes it. */
export interface OsUser {
  name: string;
  uid: number;
  gid: number;
}

/** Bits of one digit of a mode: what a path itself must allow; folders above it must allow to pass. */
export const ACCESS = { pass: 0o1, execute: 0o5, write: 0o3 } as const;
const OTHERS_WRITE = 0o022;

/** PostgreSQL refuses to run as root; everyone else runs it as themselves. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The account that PostgreSQL runs as when we are root: `postgres` where the system has one, else `nobody`. */
export function chooseUser(passwd = readPasswd()): OsUser | undefined {
  if (!isRoot()) return undefined;
  const users = parsePasswd(passwd);
  const user = users.find(({ name }) => name === 'postgres') ?? users.find(({ name }) => name === 'nobody');
  if (user !== undefined) return user;
  throw new LadingError(
    'NO_DATABASE_USER',
    'PostgreSQL does not run as root: add a user `postgres`, or run as another user',
  );
}

/** The account with these numbers, also where it has no name. */
export function userOf({ uid, gid }: { uid: number; gid: number }, passwd = readPasswd()): OsUser {
  const name = parsePasswd(passwd).find((user) => user.uid === uid)?.name ?? `uid ${uid}`;
  return { name, uid, gid };
}

function readPasswd(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8');
  } catch {
    return '';
  }
}

export function parsePasswd(text: string): OsUser[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (!name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/**
 * Can the user come to this file or folder, and there do what `access` says? Reads the modes of the path and of all
 * folders above it. Without a user the question is about ourselves, and left to the attempt.
 */
export async function canReach(
  path: string,
  user: OsUser | undefined,
  access: number = ACCESS.execute,
): Promise<boolean> {
  if (user === undefined) return true;
  const real = await realpath(path);
  if (!(await allows(real, user, access))) return false;
  for (let folder = dirname(real); ; folder = dirname(folder)) {
    if (!(await allows(folder, user, ACCESS.pass))) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** Supplementary groups do not count: spawn drops them with the uid. */
async function allows(path: string, user: OsUser, bits: number): Promise<boolean> {
  const { mode, uid, gid } = await stat(path);
  const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0;
  return ((mode >> shift) & bits) === bits;
}

/**
 * Makes a folder that others may pass through, and refuses one that somebody else could have filled for us:
 * what lies in it is run as another user.
 */
export async function ensureOwnFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
  const { uid, mode } = await stat(path);
  if (process.getuid !== undefined && (uid !== process.getuid() || (mode & OTHERS_WRITE) !== 0)) {
    throw new LadingError(
      'FOLDER_NOT_OURS',
      `${path} belongs to another user, or others may write to it: remove it and try again`,
    );
  }
}
