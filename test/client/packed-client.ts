import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');

/** A stranger's program in which the packed client is installed: as npm does it, but for packages that we have. */
export async function installPacked(folder: string): Promise<void> {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT });
  const file = /"filename": "([^"]+)"/.exec(stdout)?.[1] ?? '';
  const installed = join(folder, 'node_modules', 'lading');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', join(folder, file), '-C', installed, '--strip-components', '1']);
  const { dependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    const path = join(folder, 'node_modules', name);
    await mkdir(dirname(path), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), path);
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'stranger', type: 'module' }));
}

/** The first program of the README, word for word. */
export async function readmeLines(): Promise<string> {
  const text = await readFile(join(ROOT, 'src/client/README.md'), 'utf8');
  const lines = /```js\n([\s\S]*?)```/.exec(text)?.[1];
  if (lines === undefined) throw new Error('the README of the client has no program');
  return lines;
}

interface Installed {
  name: string;
  path: string;
}

/** Every different Node that this machine has: the system's may be the oldest that we promise. */
export async function nodesAtHand(): Promise<Installed[]> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const paths = [process.execPath, ...folders.map((folder) => join(folder, 'node'))];
  const found = new Map<string, string>();
  for (const path of paths) {
    const version = await run(path, ['--version']).then(
      ({ stdout }) => stdout.trim(),
      () => undefined,
    );
    if (version !== undefined && !found.has(version)) found.set(version, path);
  }
  return [...found].map(([name, path]) => ({ name, path }));
}
