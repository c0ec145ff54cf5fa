import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { LadingError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import { ACCESS, canReach, chooseUser, ensureOwnFolder, isRoot, userOf, type OsUser } from './os-user.ts';
import { findBinaries, type Binaries } from './postgres-binaries.ts';

/** Where an embedded PostgreSQL runs from, where its data lies, and who it runs as. */
export interface DataPlace {
  binaries: Binaries;
  /** Made by initdb; the folder above it exists. */
  dataDir: string;
  user: OsUser | undefined;
}

interface PlaceOptions {
  /** DATA_DIR of the service. */
  folder: string;
  log: Log;
  /** Folders for what root's database user could not reach otherwise; the first that can be made is taken. */
  sharedFolders?: readonly string[];
}

const DATA_FOLDER = 'postgres';
/** Says where the database of this DATA_DIR lies when it is not in it; goes with DATA_DIR when that is moved. */
const LOCATION_FILE = 'postgres.location';
/** The system's place for what services keep; the temporary folder only where that cannot be written. */
const SHARED_FOLDERS = ['/var/lib/lading', join(tmpdir(), 'lading')];
const HASH_CHARS = 12;

/** Decides the place, makes what is missing above it, and says so when it is not in DATA_DIR. */
export async function findDataPlace({ folder, log, sharedFolders = SHARED_FOLDERS }: PlaceOptions): Promise<DataPlace> {
  await mkdir(folder, { recursive: true });
  const real = await realpath(folder);
  const inside = join(real, DATA_FOLDER);
  const noted = (await readLocation(real)) ?? inside;
  const user = await userFor(noted);
  const shared = () => firstUsable(sharedFolders, user);
  const binaries = await findBinaries(user, shared);
  const dataDir = (await canReach(dirname(noted), user, ACCESS.pass))
    ? noted
    : await dataDirElsewhere(real, noted, shared);
  const fields = { dataDir, binaries: binaries.home, user: user?.name, folder: real };
  if (dataDir !== inside || binaries.copied) log.info(fields, 'database.elsewhere');
  return { binaries, dataDir, user };
}

/** Notes where the database lies, once it is there: a later start goes there, wherever DATA_DIR has been moved meanwhile. */
export async function noteLocation(folder: string, dataDir: string): Promise<void> {
  const real = await realpath(folder);
  const file = join(real, LOCATION_FILE);
  if (dataDir === join(real, DATA_FOLDER) || existsSync(file)) return;
  await writeFile(`${file}.new`, `${dataDir}\n`);
  await rename(`${file}.new`, file);
}

async function readLocation(folder: string): Promise<string | undefined> {
  const file = join(folder, LOCATION_FILE);
  const location = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
  if (location === undefined || existsSync(join(location, 'PG_VERSION'))) return location;
  // An empty database beside a full store would look like lost uploads.
  throw new LadingError(
    'DATABASE_MISSING',
    `${file} says that the database lies in ${location}, and there is none: restore it, or remove ${file} to begin with an empty one`,
  );
}

/** Who PostgreSQL runs as; undefined: as ourselves. Data that exists keeps its owner, because PostgreSQL insists on that. */
async function userFor(dataDir: string): Promise<OsUser | undefined> {
  const owner = await stat(dataDir).catch(() => undefined);
  if (isRoot()) return owner === undefined || owner.uid === 0 ? chooseUser() : userOf(owner);
  if (owner !== undefined && process.getuid !== undefined && owner.uid !== process.getuid()) {
    throw new LadingError(
      'DATA_DIR_FOREIGN',
      `${dataDir} belongs to ${userOf(owner).name}: run as that user or as root, or set another DATA_DIR`,
    );
  }
  return undefined;
}

/** The same folder for the same DATA_DIR, so that a start which died before it noted the place finds its work again. */
async function dataDirElsewhere(folder: string, unreachable: string, shared: () => Promise<string>): Promise<string> {
  if (existsSync(unreachable)) {
    throw new LadingError(
      'DATA_DIR_UNREACHABLE',
      `the user that PostgreSQL runs as cannot pass the folders above ${unreachable}: allow that (chmod o+x), or move DATA_DIR`,
    );
  }
  const name = `${basename(folder)}-${createHash('sha256').update(folder).digest('hex').slice(0, HASH_CHARS)}`;
  const elsewhere = join(await shared(), name);
  await mkdir(elsewhere, { recursive: true, mode: 0o755 });
  return join(elsewhere, DATA_FOLDER);
}

async function firstUsable(folders: readonly string[], user: OsUser | undefined): Promise<string> {
  const faults: string[] = [];
  for (const folder of folders) {
    try {
      await ensureOwnFolder(folder);
      await chmod(folder, 0o755);
      if (await canReach(folder, user)) return folder;
      faults.push(`${folder}: ${user?.name} cannot pass the folders above it`);
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new LadingError(
    'NO_DATABASE_FOLDER',
    `no folder that ${user?.name}, who PostgreSQL runs as, can reach:\n  ${faults.join('\n  ')}`,
  );
}
