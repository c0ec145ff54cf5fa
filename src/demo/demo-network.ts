import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { openWalletFile } from '../deals/wallet/local-wallet.ts';
import { createDevnet, type Devnet } from '../devnet/devnet.ts';
import { parseAddress } from '../filecoin/address.ts';
import { createLog } from '../log/log.ts';
import { secretsOf } from '../log/redact.ts';
import { startService } from '../service.ts';
import type { DemoHome } from './demo-home.ts';

/** The devnet and the service on it, both in this process, both real. */
export interface DemoNetwork extends AsyncDisposable {
  apiUrl: string;
  rpcUrl: string;
  providerCount: number;
  epoch(): number;
}

/** Five providers: one refuses everything, one answers late and fetches slowly. */
const PERSONAS = [
  {},
  { answerDelayMs: 1_500, fetchBytesPerSecond: 24 * 2 ** 20, proveEpochs: 8 },
  { refuse: 'miner is not considering online storage deals' },
  {},
  {},
];
const EPOCH_MS = 1_000;

/** Pieces from 1 to 128 MiB within a minute: sealed by age soon, whatever their fill. */
function environment(home: DemoHome, rpcUrl: string): Record<string, string> {
  return {
    PORT: String(home.apiPort),
    DATA_DIR: join(home.dir, 'data'),
    API_TOKENS: `uploader:upload:${home.uploadToken},operator:ops:${home.opsToken}`,
    CHAIN_NETWORK: 'devnet',
    CHAIN_RPC_URL: rpcUrl,
    WALLET: `file:${home.walletFile}`,
    PIECE_SIZE: '128MiB',
    MIN_PIECE_SIZE: '1MiB',
    MIN_FILL: '64KiB',
    MAX_AGE: '3s',
    FORCE_AGE: '5s',
    LOOKBACK_EPOCHS: '3',
    LOG_LEVEL: 'error',
  };
}

async function post(url: string, body: object, token?: string, method = 'POST'): Promise<void> {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(url, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
}

/** Money for a client that the chain has not seen; in a demo that goes on it has its own already. */
async function fund(devnet: Devnet, walletFile: string): Promise<void> {
  const address = await (await openWalletFile(walletFile)).address();
  if (devnet.ledger.lookupId(parseAddress(address)) !== undefined) return;
  await post(`${devnet.url}/devnet/fund`, { address, fil: '100', datacap: '1TiB' });
}

/** Providers and policy, unless an earlier run has told them. */
async function introduce(devnet: Devnet, api: { url: string; token: string }, replicas: number): Promise<void> {
  const headers = { authorization: `Bearer ${api.token}` };
  const policy = (await (await fetch(`${api.url}/policy`, { headers })).json()) as { terms: { replicas: string } };
  if (policy.terms.replicas === String(replicas)) return;
  for (const { id } of devnet.providers) await post(`${api.url}/providers`, { id }, api.token);
  await post(`${api.url}/policy`, { replicas, verified: false }, api.token, 'PUT');
}

/** Starts chain, service and providers in this order: providers that go on from before fetch from the service at once. */
export async function startDemoNetwork(home: DemoHome, replicas: number): Promise<DemoNetwork> {
  await using stack = new AsyncDisposableStack();
  const options = {
    dir: join(home.dir, 'devnet'),
    port: home.rpcPort,
    epochMs: EPOCH_MS,
    seed: home.seed,
    personas: PERSONAS,
  };
  const devnet = stack.use(await createDevnet(options));
  await fund(devnet, home.walletFile);
  const env = environment(home, devnet.rpcUrl);
  const config = readConfig(env);
  const log = createLog(config.logLevel, { secrets: secretsOf(env) });
  const service = await startService(config, { log, signal: new AbortController().signal });
  stack.use(service);
  const apiUrl = service.url ?? '';
  await introduce(devnet, { url: apiUrl, token: home.opsToken }, replicas);
  const owned = stack.move();
  return {
    apiUrl,
    rpcUrl: devnet.rpcUrl,
    providerCount: devnet.providers.length,
    epoch: () => devnet.height(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
