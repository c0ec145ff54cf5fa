import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterPassword } from './cluster-password.ts';
import { findServer } from './find-server.ts';
import { DATABASE_USER } from './init-cluster.ts';
import { hasCluster } from './make-cluster.ts';
import { parsePostmasterFile, readPostmasterText } from './postmaster.ts';

/** The folder of the database: noted in DATA_DIR when it lies elsewhere (data-place.ts). */
async function databaseFolder(dataDir: string): Promise<string> {
  const noted = await readFile(join(dataDir, 'postgres.location'), 'utf8').catch(() => '');
  return noted.trim() === '' ? join(dataDir, 'postgres') : noted.trim();
}

/** Whether an embedded database was ever made for this DATA_DIR. */
export async function hasEmbedded(dataDir: string): Promise<boolean> {
  return hasCluster(await databaseFolder(dataDir));
}

/** The URL of the embedded database that a living service runs for this DATA_DIR; undefined when none does. */
export async function findRunningEmbedded(dataDir: string): Promise<string | undefined> {
  const folder = await databaseFolder(dataDir);
  const text = await readPostmasterText(folder);
  if (text === '' || (await findServer(folder)).kind !== 'owned') return undefined;
  const server = parsePostmasterFile(text);
  if (server === undefined || !server.ready) return undefined;
  const password = await clusterPassword(dataDir, true);
  return `postgres://${DATABASE_USER}:${password}@127.0.0.1:${server.port}/lading`;
}
