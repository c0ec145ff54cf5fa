import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HashPool } from './hash-pool.ts';
import type { ProviderContext } from './provider-context.ts';
import type { ProviderDeal } from './provider-deals.ts';
import type { LedgerPort } from '../ledger/ledger-port.ts';
import { parsePersonaPatch, personaOf, type PersonaName, type PersonaPatch } from './provider-persona.ts';
import { StorageProvider } from './storage-provider.ts';

const FIRST_ID = 1_000;

export interface ProvidersOptions {
  ledger: LedgerPort;
  /** One provider each: `['normal', 'refuse', { proveEpochs: 2 }]`. They become f01000, f01001 and so on. */
  personas: readonly (PersonaName | PersonaPatch)[];
  /** Keys, journals and pieces; a later start on it goes on. Without it all is forgotten at the end. */
  dir?: string;
  seed: string;
  log?: ProviderContext['log'];
  /** Told of each well-formed proposal that any provider receives, taken or not; a persona that hangs reads none. */
  onProposal?: ProviderContext['onProposal'];
  now?: () => Date;
}

export interface RunningProvider {
  readonly id: string;
  readonly peerId: string;
  readonly multiaddrs: readonly string[];
  /** Every deal ever accepted, in order, as it stands now. */
  deals(): readonly ProviderDeal[];
}

export interface Providers extends AsyncDisposable {
  readonly providers: readonly RunningProvider[];
  /**
   * `{"f01000":{"hang":true},"f01001":null}` from the control door: knobs of src/devnet/provider-persona.ts, null for
   * the provider's usual ways. All or nothing: throws TypeError for an unknown provider or knob and changes nothing.
   */
  setFaults(faults: unknown): void;
  close(): Promise<void>;
}

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Starts the devnet's own storage providers and registers them on the chain. */
export async function startProviders(options: ProvidersOptions): Promise<Providers> {
  const folder = options.dir ?? (await mkdtemp(join(tmpdir(), 'lading-providers-')));
  const hashes = new HashPool();
  const { ledger, seed, now = () => new Date(), log = quiet, onProposal = () => undefined } = options;
  const shared = { ledger, seed, now, log, onProposal, hashes };
  const providers: StorageProvider[] = [];
  const close = async () => {
    await Promise.all([...providers.map((provider) => provider.close()), hashes.close()]);
    if (options.dir === undefined) await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const [index, choice] of options.personas.entries()) {
      const id = `f0${FIRST_ID + index}`;
      const own = { id, persona: personaOf(choice), folder: join(folder, id) };
      providers.push(await StorageProvider.start({ ...shared, ...own }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { providers, setFaults: (faults) => applyFaults(providers, faults), close, [Symbol.asyncDispose]: close };
}

function applyFaults(providers: readonly StorageProvider[], faults: unknown): void {
  if (typeof faults !== 'object' || faults === null) throw new TypeError('faults are an object by provider id');
  const changes = Object.entries(faults).map(([id, patch]: [string, unknown]) => {
    const provider = providers.find((candidate) => candidate.id === id.replace(/^t/, 'f'));
    if (provider === undefined) throw new TypeError(`the devnet runs no provider ${id}`);
    return { provider, patch: patch === null ? null : parsePersonaPatch(patch) };
  });
  for (const { provider, patch } of changes) provider.setPersona(patch);
}
