import type { LedgerOptions } from './ledger/chain-driver.ts';
import { openLedger, type Ledger } from './ledger/ledger.ts';
import type { Permission } from './rpc/rpc-method.ts';
import { startRpcServer } from './rpc/rpc-server.ts';

export interface DevnetChainOptions extends LedgerOptions {
  /** Port of RPC and control door on 127.0.0.1; any free one unless told. */
  port?: number;
  /** Nodes of this chain, each with an RPC and a control door of its own, and its own RPC faults; 1 unless told. */
  rpcNodes?: number;
  /** Bearer tokens of the RPC and what each may do; without any, everybody may do all. */
  tokens?: Readonly<Record<string, Permission>>;
  /** Takes the `provider` part of POST /devnet/faults; throws TypeError for what it does not know. */
  setProviderFaults?: (faults: unknown) => void;
}

export interface DevnetChain extends AsyncDisposable {
  readonly ledger: Ledger;
  /** `http://127.0.0.1:…/rpc/v1`. */
  readonly rpcUrl: string;
  /** Of all nodes, the first one's first. */
  readonly rpcUrls: readonly string[];
  /** `http://127.0.0.1:…/devnet`: the control door. */
  readonly doorUrl: string;
  close(): Promise<void>;
}

/** A chain that ticks, with its Lotus JSON-RPC and its control door. */
export async function createDevnetChain(options: DevnetChainOptions): Promise<DevnetChain> {
  const { port = 0, rpcNodes = 1, tokens, setProviderFaults } = options;
  const ledger = openLedger({ ...options, isPaused: true });
  await using starting = new AsyncDisposableStack();
  const ports: number[] = [];
  for (let node = 0; node < rpcNodes; node += 1) {
    const server = await startRpcServer({
      ledger,
      seed: node === 0 ? ledger.seed : `${ledger.seed}/node${node}`,
      node,
      port: port === 0 ? 0 : port + node,
      ...(tokens !== undefined && { tokens }),
      ...(setProviderFaults !== undefined && { setProviderFaults }),
    });
    starting.defer(() => server.close());
    ports.push(server.port);
  }
  // Only now: a clock that ticks behind a port that was taken would keep the process alive.
  if (options.isPaused !== true) ledger.resume();
  const servers = starting.move();
  const close = async (): Promise<void> => {
    ledger.close();
    await servers.disposeAsync();
  };
  const rpcUrls = ports.map((open) => `http://127.0.0.1:${open}/rpc/v1`);
  const [rpcUrl = ''] = rpcUrls;
  const doorUrl = new URL('/devnet', rpcUrl).href;
  return { ledger, rpcUrl, rpcUrls, doorUrl, close, [Symbol.asyncDispose]: close };
}
