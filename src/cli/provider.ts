import { BadInput } from '../errors.ts';
import { createChain } from '../chain/chain.ts';
import { createRpc } from '../chain/rpc.ts';
import { systemClock } from '../clock.ts';
import { readConfig } from '../config.ts';
import { addProvider, parseProviderId } from '../deals/providers/providers.ts';
import { findProvider, listProviders, setProviderState, type Provider } from '../deals/providers/provider-store.ts';
import type { ProviderState } from '../db/tables.ts';
import { formatBytes } from '../filecoin/units.ts';
import { wakeProposals } from '../wake-proposals.ts';
import { jsonOption, parseCommand, positional, table, toJson, type Command } from './command.ts';
import type { Io } from '../terminal.ts';
import { withDatabase, withJobs } from './database.ts';

const usage = 'provider add|show|pause|resume|remove ID [--peer-id ID --multiaddr ADDR…] | provider list [--json]';

const STATES: Record<string, ProviderState> = { pause: 'paused', resume: 'enabled', remove: 'removed' };

function row(provider: Provider): Record<string, string> {
  return {
    id: provider.id,
    state: provider.state,
    'peer id': provider.peerId ?? '-',
    sector: provider.sectorBytes === undefined ? '-' : formatBytes(provider.sectorBytes),
    addresses: provider.multiaddrs.join(' ') || '-',
    trouble: provider.resolveError ?? '',
  };
}

interface Given {
  'peer-id'?: string | undefined;
  multiaddr?: string[] | undefined;
}

async function add(io: Io, id: string, given: Given): Promise<Provider> {
  const config = readConfig(io.env, 'tool');
  const rpc = config.rpcEndpoints.length === 0 ? undefined : createRpc({ endpoints: config.rpcEndpoints });
  try {
    return await withJobs(io, async ({ kysely }, jobs) => {
      const deps = { db: kysely, chain: rpc && createChain(rpc), clock: systemClock };
      const added = await addProvider(deps, { id, peerId: given['peer-id'], multiaddrs: given.multiaddr });
      await wakeProposals(kysely, jobs);
      return added;
    });
  } finally {
    rpc?.close();
  }
}

async function change(io: Io, id: string, state: ProviderState | undefined): Promise<Provider> {
  return withJobs(io, async ({ kysely }, jobs) => {
    if (state !== undefined) await setProviderState(kysely, id, state);
    if (state === 'enabled') await wakeProposals(kysely, jobs);
    const found = await findProvider(kysely, id);
    if (found === undefined)
      throw new BadInput('PROVIDER_UNKNOWN', `there is no provider ${id}: lading provider add ${id}`);
    return found;
  });
}

export const provider: Command = {
  usage,
  summary: 'the storage providers that deals may be proposed to',
  async run(args, io) {
    const options = {
      ...jsonOption,
      'peer-id': { type: 'string' },
      multiaddr: { type: 'string', multiple: true },
    } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const verb = positional({ positionals, usage }, 0, 'add, list, show, pause, resume or remove');
    if (verb === 'list') {
      const all = await withDatabase(io, ({ kysely }) => listProviders(kysely));
      io.print(values.json ? toJson(all) : table(all.map(row), 'no providers yet: lading provider add f01234'));
      return 0;
    }
    const id = positional({ positionals, usage }, 1, 'ID');
    if (verb !== 'add' && verb !== 'show' && !Object.hasOwn(STATES, verb))
      throw new BadInput('USAGE', `usage: lading ${usage}`);
    const found = verb === 'add' ? await add(io, id, values) : await change(io, parseProviderId(id), STATES[verb]);
    io.print(values.json ? toJson(found) : table([row(found)], ''));
    return 0;
  },
};
