import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createWalletFile } from '../../src/deals/wallet/local-wallet.ts';
import { createDevnet, type Devnet } from '../../src/devnet/devnet.ts';
import type { Sample } from '../../src/demo/sample-files.ts';
import { freePort } from './network.ts';

export const REPLICAS = 3;

export interface CheckedDeal {
  status: string;
  stage: string;
  miner: string;
  pieceCid: string;
  batchRootCid: string;
  datamodelSelector: string;
}

interface Checked {
  value: { deals: CheckedDeal[]; queueing?: object };
}

/** A devnet and everything that a service needs to live on it; the service itself is the test's. */
export interface World extends AsyncDisposable {
  env: Record<string, string>;
  /** Of the service. */
  url: string;
  dataDir: string;
  rpcUrl: string;
  /** Every proposal that any provider received, in order. */
  proposals: { deal: string; signedProposal: string }[];
  /** Providers and policy, told to a running service. */
  prepare(): Promise<void>;
  upload(sample: Sample): Promise<Response>;
  /** By piece, the providers with an active deal for the upload: one piece, or more where it topped up others. */
  activeProviders(cid: string): Promise<Map<string, string[]>>;
  describe(cids: string[]): Promise<string>;
  /** The answer of `/check`; undefined while the service does not give one. */
  check(cid: string): Promise<Checked | undefined>;
  /** GET with the operator's token. */
  get(path: string): Promise<Response>;
}

export const UPLOAD_TOKEN = 'upload-token-of-the-test';
const TOKENS = { upload: UPLOAD_TOKEN, ops: 'operator-token-of-the-test' };
/** Ten times as fast as the demo: most of a deal's life is waiting for epochs. */
const EPOCH_MS = 100;
/** One provider refuses; four are left for three replicas. Patient ones, because the service they fetch from keeps dying. */
const PATIENT = { headAttempts: 100, retryMinMs: 100, retryMaxMs: 1_000 };
const PERSONAS = [PATIENT, PATIENT, { refuse: 'miner is not considering online storage deals' }, PATIENT, PATIENT];

export async function startWorld(folder: string, seed: string): Promise<World> {
  const proposals: World['proposals'] = [];
  const onProposal = (_provider: string, deal: string, signedProposal: Uint8Array) =>
    void proposals.push({ deal, signedProposal: Buffer.from(signedProposal).toString('hex') });
  const devnet = await createDevnet({ personas: PERSONAS, epochMs: EPOCH_MS, seed, onProposal });
  const dataDir = join(folder, 'data');
  await mkdir(dataDir);
  const walletFile = join(folder, 'wallet.key');
  const client = await createWalletFile(walletFile, 'secp256k1', randomBytes);
  await post(`${devnet.url}/devnet/fund`, { address: client, fil: '1000', datacap: '1TiB' });
  const env = environment({ devnet, dataDir, walletFile, port: await freePort() });
  const url = `http://127.0.0.1:${env['PORT']}`;
  return {
    env,
    url,
    dataDir,
    rpcUrl: devnet.rpcUrl,
    proposals,
    prepare: () => prepare(url, devnet),
    upload: (sample) => upload(url, sample),
    activeProviders: (cid) => activeProviders(url, cid),
    describe: async (cids) => JSON.stringify(await Promise.all(cids.map((cid) => check(url, cid)))),
    check: (cid) => check(url, cid),
    get: (path) => fetch(url + path, { headers: { authorization: `Bearer ${TOKENS.ops}` } }),
    [Symbol.asyncDispose]: () => devnet.close(),
  };
}

interface Setting {
  devnet: Devnet;
  dataDir: string;
  walletFile: string;
  port: number;
}

function environment({ devnet, dataDir, walletFile, port }: Setting): Record<string, string> {
  return {
    PORT: String(port),
    DATA_DIR: dataDir,
    API_TOKENS: `tester:upload:${TOKENS.upload},operator:ops:${TOKENS.ops}`,
    CHAIN_NETWORK: 'devnet',
    CHAIN_RPC_URL: devnet.rpcUrl,
    WALLET: `file:${walletFile}`,
    PIECE_SIZE: '8MiB',
    MIN_FILL: '1MiB',
    MAX_AGE: '4s',
    FORCE_AGE: '6s',
    LOOKBACK_EPOCHS: '2',
  };
}

async function post(url: string, body: object, method = 'POST'): Promise<void> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${TOKENS.ops}` };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
}

async function prepare(url: string, devnet: Devnet): Promise<void> {
  for (const { id } of devnet.providers) await post(`${url}/providers`, { id });
  await post(`${url}/policy`, { replicas: REPLICAS, verified: false }, 'PUT');
}

function upload(url: string, sample: Sample): Promise<Response> {
  return fetch(`${url}/upload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKENS.upload}`, 'content-type': 'application/vnd.ipld.car' },
    body: ReadableStream.from(sample.car),
    duplex: 'half',
  });
}

async function check(url: string, cid: string): Promise<Checked | undefined> {
  try {
    const response = await fetch(`${url}/check/${cid}`);
    return response.ok ? ((await response.json()) as Checked) : undefined;
  } catch {
    return undefined;
  }
}

async function activeProviders(url: string, cid: string): Promise<Map<string, string[]>> {
  const deals = (await check(url, cid))?.value.deals ?? [];
  const byPiece = Map.groupBy(deals, ({ pieceCid }) => pieceCid);
  const active = (ofPiece: typeof deals) => ofPiece.filter(({ status }) => status === 'active');
  return new Map([...byPiece].map(([piece, ofPiece]) => [piece, active(ofPiece).map(({ miner }) => miner)]));
}
