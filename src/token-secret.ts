import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

const SECRET_BYTES = 32;

/** The key of piece tokens in DATA_DIR, made at the first start: mode 0600, whole or not there. */
export async function ownTokenSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, 'token-secret');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  await using handle = await open(draft, 'wx', 0o600);
  await handle.writeFile(`${randomBytes(SECRET_BYTES).toString('base64url')}\n`);
  await handle.sync();
  // Linked, not renamed: of two processes at once the first wins, and both read its secret.
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(draft);
  return (await readFile(file, 'utf8')).trim();
}
