import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const VERSION = '4.32.5';
const INSTALL_MS = 180_000;
const run = promisify(execFile);

/** The program, installed once into the user's cache; undefined, and said aloud, where Python cannot give it. */
export async function findSchemathesis(): Promise<string | undefined> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const folder = join(cache, 'lading', `schemathesis-${VERSION}`);
  const program = join(folder, 'bin', 'schemathesis');
  if (existsSync(program)) return program;
  console.error(`installing schemathesis ${VERSION} into ${folder} (once; about a minute)`);
  try {
    await run('python3', ['-m', 'venv', folder], { timeout: INSTALL_MS });
    const pip = join(folder, 'bin', 'pip');
    await run(pip, ['install', '--quiet', `schemathesis==${VERSION}`], { timeout: INSTALL_MS });
    return program;
  } catch (error) {
    // Half of it would look like all of it the next time.
    await rm(folder, { recursive: true, force: true });
    console.error(`!!! schemathesis could not be installed: THE API DOCUMENT IS NOT TESTED BY IT\n${String(error)}`);
    return undefined;
  }
}
