// Plain JavaScript for any Node >= 20: installs the packages of the lockfile where they are missing, else does nothing.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './node24.js';

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Is every package that this platform must have installed in the version that the lockfile names? */
function isInstalled() {
  const wanted = packagesOf('package-lock.json') ?? {};
  const present = packagesOf('node_modules/.package-lock.json');
  if (present === undefined) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, link }]) =>
      path === '' || !path.startsWith('node_modules/') || optional || link || present[path]?.version === version,
  );
}

export function ensureInstalled() {
  if (isInstalled()) return;
  console.error('lading: installing packages (once; about a minute) …');
  const npm = process.env.npm_execpath;
  // The Node that npm itself runs on: ours may be the one that npm brought, which it would then take for the system's.
  const node = process.env.npm_node_execpath ?? process.execPath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  // Standard output belongs to the command that follows (`--json`), so npm writes to standard error.
  const options = { cwd: root, stdio: ['ignore', 2, 2], shell: !npm && process.platform === 'win32' };
  const done = npm ? spawnSync(node, [npm, ...args], options) : spawnSync('npm', args, options);
  if (done.status !== 0) {
    console.error(
      'lading: npm ci failed; its own message is above. Mend that, or run `npm ci` by hand, and try again.',
    );
    process.exit(1);
  }
  console.error('lading: packages installed.');
}
