import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LadingError } from '../errors.ts';
import type { OsUser } from './os-user.ts';
import { program, type Binaries } from './postgres-binaries.ts';
import { serverEnvironment, spawnUser } from './postmaster.ts';

/** An initdb takes a second; on a starved machine with a slow disk it may take a minute, and more means that it hangs. */
const INITDB_LIMIT_MS = 120_000;
/** The superuser of every database that we make. */
export const DATABASE_USER = 'lading';

export interface InitOptions {
  binaries: Binaries;
  user: OsUser | undefined;
  dataDir: string;
  /** Undefined: everyone who reaches the socket is let in (tests). */
  passwordFile?: string;
  /** False: nothing is forced to disk (tests). */
  durable: boolean;
  signal?: AbortSignal;
}

/** Makes an empty database cluster. UTF-8, and sorted by bytes, so that no update of the system changes an index's order. */
export async function initCluster(options: InitOptions): Promise<void> {
  const { binaries, user, dataDir, passwordFile, durable, signal } = options;
  const access = passwordFile === undefined ? ['--auth=trust'] : ['--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  const args = [
    '-D',
    dataDir,
    '-U',
    DATABASE_USER,
    '--encoding=UTF8',
    '--locale=C',
    ...access,
    ...(durable ? [] : ['--no-sync']),
  ];
  try {
    await promisify(execFile)(program(binaries, 'initdb'), args, {
      cwd: '/',
      env: serverEnvironment(),
      timeout: INITDB_LIMIT_MS,
      ...(signal && { signal }),
      ...spawnUser(user),
    });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim();
    throw new LadingError(
      'INITDB_FAILED',
      `PostgreSQL could not make a database in ${dataDir}: ${said || 'no reason given'}`,
      { cause },
    );
  }
}
