import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LadingError } from '../errors.ts';

const PASSWORD_FILE = 'postgres.password';
/** 256 bits: nobody guesses it, here or offline. */
const PASSWORD_BYTES = 32;
const OWNER_READS_AND_WRITES = 0o600;

/** The password of the embedded database, made at the first start. Other users of the machine cannot read it. */
export async function clusterPassword(folder: string, clusterExists: boolean): Promise<string> {
  const file = join(folder, PASSWORD_FILE);
  const known = await readPassword(file);
  if (known !== undefined) return known;
  if (clusterExists) {
    throw new LadingError(
      'DATABASE_PASSWORD_MISSING',
      `${file} is gone, and nobody else knows the password of the database: restore that file`,
    );
  }
  return makePassword(file);
}

async function readPassword(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim() || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Appears whole, and only once: of two starts at the same moment both end with the same password. */
async function makePassword(file: string): Promise<string> {
  const own = `${file}.new-${process.pid}`;
  await rm(own, { force: true });
  {
    await using handle = await open(own, 'wx', OWNER_READS_AND_WRITES);
    await handle.writeFile(`${randomBytes(PASSWORD_BYTES).toString('base64url')}\n`);
    await handle.sync();
  }
  await link(own, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(own);
  const password = await readPassword(file);
  if (password === undefined)
    throw new LadingError('DATABASE_PASSWORD_MISSING', `${file} is empty: remove it and start again`);
  return password;
}
