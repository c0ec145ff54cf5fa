import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scenario/network.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** The version whose answers are known (go install, 144 s once); .ci/run builds the same before the tests. */
const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const BIN_FOLDER = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lading', 'versitygw-1.8.0');
const BINARY = process.env['VERSITYGW'] ?? join(BIN_FOLDER, 'versitygw');
/** A cold build on two busy cores; more is a network that does not answer. */
export const BUILD_MS = 600_000;
const READY_MS = 15_000;

export interface S3Server extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  endpoint: string;
  /** The folder in which every bucket is a folder; multipart uploads lie below `.sgwtmp` of their bucket. */
  root: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** The path of the server's binary, built where Go is; undefined, with the reason on standard error, where neither is. */
export function findVersitygw(): string | undefined {
  if (existsSync(BINARY)) return BINARY;
  if (process.env['VERSITYGW'] !== undefined) throw new Error(`VERSITYGW names ${BINARY}, which is not there`);
  if (spawnSync('go', ['version']).status !== 0) {
    console.error(
      `\n!!! S3 IS NOT TESTED: there is neither ${BINARY} nor a Go toolchain to build it with (${MODULE}).\n`,
    );
    return undefined;
  }
  console.error(`building ${MODULE} into ${BIN_FOLDER} (once; two or three minutes) …`);
  const built = spawnSync('go', ['install', '-ldflags=-s -w', MODULE], {
    env: { ...process.env, GOBIN: BIN_FOLDER },
    timeout: BUILD_MS,
    encoding: 'utf8',
  });
  // Go is here, so the tests must run: a build that fails is a failure, not a skip.
  if (built.status !== 0) throw new Error(`go install ${MODULE} failed: ${built.error?.message ?? built.stderr}`);
  return BINARY;
}

/** A versitygw of one's own on loopback, over an empty folder. */
export async function startVersitygw(binary: string): Promise<S3Server> {
  const folder = await temporaryFolder();
  const root = join(folder.path, 'buckets');
  await mkdir(root);
  const credentials = { accessKeyId: 'lading-test-key', secretAccessKey: 'lading-test-secret-0123456789' };
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const run = () => runServer({ binary, root, credentials, port });
  let child = await run();
  const stop = () => child.end();
  return {
    endpoint,
    root,
    credentials,
    stop,
    start: async () => void (child = await run()),
    [Symbol.asyncDispose]: async () => {
      await stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

interface Setting extends Pick<S3Server, 'root' | 'credentials'> {
  binary: string;
  port: number;
}

async function runServer({ binary, root, credentials, port }: Setting) {
  const child = spawn(binary, ['--port', `127.0.0.1:${port}`, '--quiet', '--keep-alive', 'posix', root], {
    env: {
      ...process.env,
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const deadline = Date.now() + READY_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await end();
      throw new Error(`versitygw did not start:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { end };
}

function answers(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false,
  );
}
