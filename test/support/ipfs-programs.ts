import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lading');
const KUBO = process.env['KUBO'] ?? join(CACHE, 'kubo-0.42.0', 'ipfs');
const CLUSTER = process.env['IPFS_CLUSTER_SERVICE'] ?? join(CACHE, 'ipfs-cluster-1.1.6', 'ipfs-cluster-service');

/** A busy machine starts either in some seconds. */
const READY_MS = 30_000;
const POLL_MS = 50;

/** The path of a program that .ci/run builds (real-programs); undefined, with the reason on standard error. */
function find(path: string, name: string, variable: string): string | undefined {
  if (existsSync(path)) return path;
  if (process.env[variable] !== undefined) throw new Error(`${variable} names ${path}, which is not there`);
  console.error(`\n!!! ${name} IS NOT TESTED: there is no ${path}; .ci/run builds it where there is a Go toolchain.\n`);
  return undefined;
}

export const findKubo = () => find(KUBO, 'KUBO', 'KUBO');
export const findIpfsCluster = () => find(CLUSTER, 'IPFS CLUSTER', 'IPFS_CLUSTER_SERVICE');

export interface Program {
  /** At once, as by a crash. */
  end(): Promise<void>;
  output(): string;
}

interface Running {
  binary: string;
  args: readonly string[];
  env: Record<string, string>;
  ready(): Promise<boolean>;
}

/** Runs it once to its end, and answers what it printed. */
export async function runOnce(binary: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  const { child, output } = begin(binary, args, env);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${binary} ${args.join(' ')} ended with ${code}:\n${output()}`);
  return output();
}

/** Starts it, and resolves when it is ready. */
export async function startProgram({ binary, args, env, ready }: Running): Promise<Program> {
  const { child, output } = begin(binary, args, env);
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const deadline = Date.now() + READY_MS;
  while (!(await ready().catch(() => false))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await end();
      throw new Error(`${binary} did not start:\n${output()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return { end, output };
}

function begin(binary: string, args: readonly string[], env: Record<string, string>) {
  const child = spawn(binary, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4_000)));
  }
  return { child, output: () => output };
}
