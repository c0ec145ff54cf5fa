import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createWalletFile } from '../deals/wallet/local-wallet.ts';

interface Remembered {
  seed: string;
  apiPort: number;
  rpcPort: number;
  uploadToken: string;
  opsToken: string;
}

/** What a demo must find again when it goes on: providers hold URLs with its port, and callers its tokens. */
export interface DemoHome extends Remembered {
  dir: string;
  walletFile: string;
  /** Removes the folder if it was made for this run alone. */
  discard(): Promise<void>;
}

/** `npm start` and `lading devnet` use these by default; a demo takes others when they are taken. */
const PREFERRED_API_PORT = 3000;
const PREFERRED_RPC_PORT = 1234;

/** The preferred port where it is free, else any. */
async function freePort(preferred: number): Promise<number> {
  for (const port of [preferred, 0]) {
    const server = createServer();
    const bound = await new Promise<number | undefined>((done) => {
      server.once('error', () => done(undefined));
      server.listen(port, '127.0.0.1', () => {
        const address = server.address();
        done(typeof address === 'object' && address !== null ? address.port : undefined);
      });
    });
    await new Promise((done) => server.close(done));
    if (bound !== undefined) return bound;
  }
  throw new Error('no free port on 127.0.0.1');
}

async function remember(dir: string): Promise<Remembered> {
  const file = join(dir, 'demo.json');
  if (existsSync(file)) return JSON.parse(await readFile(file, 'utf8')) as Remembered;
  const secret = () => randomBytes(24).toString('base64url');
  const made = {
    seed: randomBytes(8).toString('hex'),
    apiPort: await freePort(PREFERRED_API_PORT),
    rpcPort: await freePort(PREFERRED_RPC_PORT),
    uploadToken: secret(),
    opsToken: secret(),
  };
  await writeFile(file, JSON.stringify(made), { mode: 0o600 });
  return made;
}

/** Others may pass, and read nothing: PostgreSQL runs as another user when we are root, and its data should go with the rest. */
const PASS_ONLY = 0o711;

async function makeTemporary(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'lading-demo-'));
  await chmod(dir, PASS_ONLY);
  return dir;
}

/** The demo's folder: the given one, kept and gone on from, or a new one below the temporary directory. */
export async function openDemoHome(given: string | undefined): Promise<DemoHome> {
  const dir = given === undefined ? await makeTemporary() : resolve(given);
  await mkdir(dir, { recursive: true });
  const remembered = await remember(dir);
  const walletFile = join(dir, 'wallet.key');
  if (!existsSync(walletFile)) await createWalletFile(walletFile, 'secp256k1', randomBytes);
  const discard = async () => {
    if (given === undefined) await rm(dir, { recursive: true, force: true });
  };
  return { dir, walletFile, ...remembered, discard };
}
