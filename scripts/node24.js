// Plain JavaScript for any Node >= 20: finds the Node 24 that runs our TypeScript, and runs it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const brought = fileURLToPath(
  new URL(`../node_modules/.bin/node${process.platform === 'win32' ? '.cmd' : ''}`, import.meta.url),
);

function isNode24() {
  return Number(process.versions.node.split('.')[0]) >= 24;
}

/** The Node that runs our code, or a message and exit code 1 where there is none. */
export function node24() {
  if (isNode24()) return process.execPath;
  if (existsSync(brought)) return brought;
  return missingNode();
}

function missingNode() {
  console.error(
    `lading needs Node 24 or newer, this is ${process.version}. For this platform npm brings none: install Node 24, then try again.`,
  );
  process.exit(1);
}

/**
 * For the service and its benches: left to itself, Node keeps so much garbage of short life that watching a week's events
 * takes 170 MiB instead of 100 (npm run bench -- watch), at the same CPU time.
 */
export const memoryFlags = ['--max-semi-space-size=8'];

/**
 * Runs a command as this process's stand-in: same streams, same exit code, signals passed on.
 * The IPC channel tells the child when this process is gone, so that no service outlives the command that started it.
 */
export function standIn(command, args) {
  const child = spawn(command, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], cwd: process.cwd() });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    // A terminal sends Ctrl-C to the child as well: passing it on would make it two.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.on('error', (error) => {
    console.error(`cannot start ${command}: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 : (code ?? 1)));
}
