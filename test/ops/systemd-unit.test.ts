import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const UNIT = fileURLToPath(new URL('../../ops/lading.service', import.meta.url));
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
if (!hasSystemd) console.error('\n!!! THE SYSTEMD UNIT IS NOT TESTED: there is no systemd-analyze here.\n');

function verify(file: string) {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

test.skipIf(!hasSystemd)('systemd takes the unit as it is, and no word of it is unknown to it', async () => {
  expect(verify(UNIT)).toEqual({ status: 0, output: '' });
  await using folder = await temporaryFolder();
  const text = await readFile(UNIT, 'utf8');
  const misspelt = join(folder.path, 'lading.service');
  await writeFile(misspelt, text.replace('NoNewPrivileges', 'NoNewPrivilege'));
  expect(verify(misspelt).output).toContain('NoNewPrivilege');
});

test('what the unit starts is there, and it is given the time that a stop takes', async () => {
  const text = await readFile(UNIT, 'utf8');
  const [, command = ''] = /^ExecStart=\/usr\/bin\/env node \/opt\/lading\/(\S+) serve$/m.exec(text) ?? [];
  await readFile(new URL(`../../${command}`, import.meta.url));
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1])).toBeGreaterThan(10);
});
