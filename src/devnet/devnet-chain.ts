import type { LedgerOptions } from './ledger/chain-driver.ts';
import { openLedger, type Ledger } from './ledger/ledger.ts';
import type { Permission } from './rpc/rpc-method.ts';
import { startRpcServer } from './rpc/rpc-server.ts';

export interface DevnetChainOptions extends LedgerOptions {
  /** Port of RPC and control door on 127.0.0.1; any free one unless told. */
  port?: number;
  /** Bearer tokens of the RPC and what each may do; without any, everybody may do all. */
  tokens?: Readonly<Record<string, Permission>>;
  /** Takes the `provider` part of POST /devnet/faults; throws TypeError for what it does not know. */
  setProviderFaults?: (faults: unknown) => void;
}

export interface DevnetChain extends AsyncDisposable {
  readonly ledger: Ledger;
  /** `http://127.0.0.1:…/rpc/v1`. */
  readonly rpcUrl: string;
  /** `http://127.0.0.1:…/devnet`: the control door. */
  readonly doorUrl: string;
  close(): Promise<void>;
}

/** A chain that ticks, with its Lotus JSON-RPC and its control door. */
export async function createDevnetChain(options: DevnetChainOptions): Promise<DevnetChain> {
  const { port = 0, tokens, setProviderFaults } = options;
  const ledger = openLedger({ ...options, isPaused: true });
  const server = await startRpcServer({
    ledger,
    seed: ledger.seed,
    port,
    ...(tokens !== undefined && { tokens }),
    ...(setProviderFaults !== undefined && { setProviderFaults }),
  });
  // Only now: a clock that ticks behind a port that was taken would keep the process alive.
  if (options.isPaused !== true) ledger.resume();
  const close = async (): Promise<void> => {
    ledger.close();
    await server.close();
  };
  const origin = `http://127.0.0.1:${server.port}`;
  return { ledger, rpcUrl: `${origin}/rpc/v1`, doorUrl: `${origin}/devnet`, close, [Symbol.asyncDispose]: close };
}
