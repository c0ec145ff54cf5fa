import { existsSync } from 'node:fs';
import { chown, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LadingError } from '../errors.ts';
import type { DataPlace } from './data-place.ts';
import { initCluster } from './init-cluster.ts';
import type { OsUser } from './os-user.ts';
import { processIdentity } from './process-identity.ts';

const VERSION_FILE = 'PG_VERSION';
/** The initdb of a start that was killed goes on for a moment, and puts files into what we remove. */
const REMOVAL = { recursive: true, force: true, maxRetries: 10, retryDelay: 50 };
const ONLY_OWNER = 0o700;
const ONLY_OWNER_READS = 0o600;

export function hasCluster(dataDir: string): boolean {
  return existsSync(join(dataDir, VERSION_FILE));
}

/**
 * Sees to a database cluster at the place. It is made beside it and then renamed, so that a start which dies halfway
 * leaves nothing that looks like one; of two starts at the same moment one renames, and the other takes what is there.
 */
export async function ensureCluster(place: DataPlace, password: string, signal: AbortSignal): Promise<void> {
  await removeUnfinished(place.dataDir);
  if (hasCluster(place.dataDir)) return checkVersion(place);
  const folder = `${place.dataDir}.new-${process.pid}-${processIdentity(process.pid)}`;
  await mkdir(folder, { mode: ONLY_OWNER });
  try {
    await giveTo(place.user, folder);
    await initAt(folder, place, { password, signal });
    await rename(join(folder, 'data'), place.dataDir);
    await syncFolder(dirname(place.dataDir));
  } catch (error) {
    if (!hasCluster(place.dataDir)) throw error;
  } finally {
    await rm(folder, REMOVAL);
  }
}

async function initAt(
  folder: string,
  place: DataPlace,
  { password, signal }: { password: string; signal: AbortSignal },
): Promise<void> {
  const { binaries, user } = place;
  // initdb reads it as the database's user, who must not read ours.
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, password, { mode: ONLY_OWNER_READS });
  await giveTo(user, passwordFile);
  await initCluster({ binaries, user, dataDir: join(folder, 'data'), passwordFile, durable: true, signal });
}

async function giveTo(user: OsUser | undefined, path: string): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/** Removes what starts left that died during initdb; one that is at work has its process. */
async function removeUnfinished(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.new-`;
  for (const name of await readdir(dirname(dataDir))) {
    if (!name.startsWith(prefix)) continue;
    const [pid, identity] = name.slice(prefix.length).split('-');
    if (processIdentity(Number(pid)) !== identity) await rm(join(dirname(dataDir), name), REMOVAL);
  }
}

async function checkVersion({ binaries, dataDir }: DataPlace): Promise<void> {
  const data = (await readFile(join(dataDir, VERSION_FILE), 'utf8')).trim();
  const [major] = binaries.version.split('.');
  if (data === major) return;
  throw new LadingError(
    'DATABASE_VERSION',
    `${dataDir} was made by PostgreSQL ${data}, and this program brings ${major}: dump it with the old version and restore it, or set DATABASE_URL`,
  );
}

/** The rename is on disk once its folder is. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using folder = await open(path, 'r');
  await folder.sync();
}
