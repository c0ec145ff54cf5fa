// `npm run check`: types, lint, format, dead code, unit and property tests, side by side; in seconds.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './node24.js';

const checks = {
  types: ['typescript/bin/tsc', ['--noEmit']],
  'types of the dashboard': ['typescript/bin/tsc', ['--noEmit', '-p', 'src/dashboard/page']],
  lint: ['oxlint/bin/oxlint', ['--type-aware', '--deny-warnings', '--quiet']],
  format: ['@biomejs/biome/bin/biome', ['format']],
  'dead code': ['knip/bin/knip.js', []],
  'unit tests': ['vitest/vitest.mjs', ['run', '--project', 'unit']],
};

function run([name, [bin, args]]) {
  const startedAt = Date.now();
  const child = spawn(process.execPath, [join(root, 'node_modules', bin), ...args], { cwd: root });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ name, ok: code === 0, output, seconds: (Date.now() - startedAt) / 1000 }));
  });
}

const results = await Promise.all(Object.entries(checks).map(run));
for (const { name, ok, output, seconds } of results) {
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds.toFixed(1)} s)`);
  if (!ok || name === 'unit tests') console.log(output.trimEnd());
}
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
