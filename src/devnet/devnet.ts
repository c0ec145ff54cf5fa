import { join } from 'node:path';

import { createDevnetChain, type DevnetChainOptions } from './devnet-chain.ts';
import type { Ledger } from './ledger/ledger.ts';
import { startProviders, type Providers, type ProvidersOptions, type RunningProvider } from './provider/providers.ts';

export interface DevnetOptions
  extends Omit<DevnetChainOptions, 'setProviderFaults' | 'seed'>,
    Omit<ProvidersOptions, 'ledger'> {}

export interface Devnet extends AsyncDisposable {
  readonly ledger: Ledger;
  /** `http://127.0.0.1:…`: `/rpc/v1` and `/devnet/…` are below it. */
  readonly url: string;
  readonly rpcUrl: string;
  /** Of all nodes of the chain. */
  readonly rpcUrls: readonly string[];
  readonly providers: readonly RunningProvider[];
  height(): number;
  close(): Promise<void>;
}

/** A chain and the storage providers on it. With `dir` both go on from what an earlier run left there. */
export async function createDevnet(options: DevnetOptions): Promise<Devnet> {
  const { dir } = options;
  let providers: Providers | undefined;
  const setProviderFaults = (faults: unknown): void => {
    if (providers === undefined) throw new TypeError('the providers are not up yet: try again');
    providers.setFaults(faults);
  };
  await using stack = new AsyncDisposableStack();
  const chainFolder = dir === undefined ? {} : { dir: join(dir, 'chain') };
  const chain = stack.use(await createDevnetChain({ ...options, ...chainFolder, setProviderFaults }));
  const { ledger } = chain;
  const providersFolder = dir === undefined ? {} : { dir: join(dir, 'providers') };
  providers = stack.use(await startProviders({ ...options, ...providersFolder, ledger }));
  const owned = stack.move();
  const close = (): Promise<void> => owned.disposeAsync();
  return {
    ledger,
    url: new URL(chain.rpcUrl).origin,
    rpcUrl: chain.rpcUrl,
    rpcUrls: chain.rpcUrls,
    providers: providers.providers,
    height: () => ledger.head().height,
    close,
    [Symbol.asyncDispose]: close,
  };
}
