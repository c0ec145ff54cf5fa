import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../scenario/network.ts';
import { runOnce, startProgram } from './ipfs-programs.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A Kubo node of one's own on loopback, which knows no other. */
export interface Kubo extends AsyncDisposable {
  /** Of the RPC, `http://127.0.0.1:port`; the methods are below /api/v0. */
  rpcUrl: string;
  rpcPort: number;
  gatewayUrl: string;
  repo: string;
  binary: string;
  /** Calls a method of the RPC, and answers its text. */
  rpc(method: string, body?: FormData): Promise<string>;
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Stops it, and begins a repository anew: as a disk that was lost. Still to be started. */
  wipe(): Promise<void>;
}

export async function startKubo(binary: string): Promise<Kubo> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const repo = join(folder.path, 'repo');
  const [rpcPort, gatewayPort, swarmPort] = [await freePort(), await freePort(), await freePort()];
  const env = { IPFS_PATH: repo, IPFS_TELEMETRY: 'off' };
  const rpcUrl = `http://127.0.0.1:${rpcPort}`;
  const init = async () => {
    await runOnce(binary, ['init', '--profile=test'], env);
    const path = join(repo, 'config');
    const config = JSON.parse(await readFile(path, 'utf8')) as { Addresses: object; Routing: object };
    const listen = (port: number) => `/ip4/127.0.0.1/tcp/${port}`;
    const addresses = { API: listen(rpcPort), Gateway: listen(gatewayPort), Swarm: [listen(swarmPort)] };
    Object.assign(config.Addresses, addresses);
    // Not --offline: what it lacks it looks for, in vain, as a node in the world does.
    Object.assign(config.Routing, { Type: 'none' });
    await writeFile(path, JSON.stringify(config));
  };
  await init();
  const run = () =>
    startProgram({
      binary,
      args: ['daemon'],
      env,
      ready: async () => (await fetch(`${rpcUrl}/api/v0/id`, { method: 'POST' })).ok,
    });
  let program = await run();
  stack.defer(() => program.end());
  const owned = stack.move();
  return {
    rpcUrl,
    rpcPort,
    gatewayUrl: `http://127.0.0.1:${gatewayPort}`,
    repo,
    binary,
    rpc: async (method, body) => {
      const response = await fetch(`${rpcUrl}/api/v0/${method}`, { method: 'POST', ...(body && { body }) });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method}: ${response.status} ${text}`);
      return text;
    },
    stop: () => program.end(),
    start: async () => void (program = await run()),
    wipe: async () => {
      await program.end();
      await rm(repo, { recursive: true, force: true });
      await init();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
