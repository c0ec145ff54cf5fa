import { BadInput } from '../errors.ts';
import { createChain } from '../chain/chain.ts';
import { createRpc } from '../chain/rpc.ts';
import { systemClock } from '../clock.ts';
import { readConfig } from '../config.ts';
import { addProvider, parseProviderId } from '../deals/providers/providers.ts';
import { commandLineActor } from '../deals/audit.ts';
import { listOutcomes } from '../deals/propose/facts-store.ts';
import type { OutcomeCount } from '../deals/propose/outcomes.ts';
import { actOnProvider, labelProvider, providerActs, type ProviderAct } from '../deals/providers/change-provider.ts';
import { findProvider, listProviders, type Provider } from '../deals/providers/provider-store.ts';
import { formatBytes } from '../filecoin/units.ts';
import { wakeProposals } from '../running/wake-proposals.ts';
import { jsonOption, parseCommand, positional, printable, table, toJson, type Command } from './command.ts';
import type { Io } from '../terminal.ts';
import { withDatabase, withJobs } from './database.ts';

const usage =
  'provider add|show|set|pause|resume|remove ID [--org X] [--region Y] [--peer-id ID --multiaddr ADDR…] [--reason TEXT] | provider list [--json]';

function row(provider: Provider): Record<string, string> {
  return {
    id: provider.id,
    state: provider.state,
    'peer id': provider.peerId ?? '-',
    sector: provider.sectorBytes === undefined ? '-' : formatBytes(provider.sectorBytes),
    org: provider.org ?? '-',
    region: provider.region ?? '-',
    software: provider.agent ?? '-',
    seen: provider.seenAt?.toISOString() ?? '-',
    addresses: provider.multiaddrs.join(' ') || '-',
    trouble: provider.resolveError ?? '',
  };
}

interface Given {
  'peer-id'?: string | undefined;
  multiaddr?: string[] | undefined;
  org?: string | undefined;
  region?: string | undefined;
  reason?: string | undefined;
}

async function add(io: Io, id: string, given: Given): Promise<Provider> {
  const config = readConfig(io.env, 'tool');
  const rpc = config.rpcEndpoints.length === 0 ? undefined : createRpc({ endpoints: config.rpcEndpoints });
  const { 'peer-id': peerId, multiaddr: multiaddrs, org, region, reason } = given;
  const act = { by: commandLineActor(), reason };
  try {
    return await withJobs(io, async ({ kysely }, jobs) => {
      const deps = { db: kysely, chain: rpc && createChain(rpc), clock: systemClock };
      const added = await addProvider(deps, { id, peerId, multiaddrs, org, region, act });
      await wakeProposals(kysely, jobs);
      return added;
    });
  } finally {
    rpc?.close();
  }
}

function known(id: string, found: Provider | undefined): Provider {
  if (found === undefined)
    throw new BadInput('PROVIDER_UNKNOWN', `there is no provider ${id}: lading provider add ${id}`);
  return found;
}

async function change(io: Io, id: string, verb: 'set' | ProviderAct, given: Given): Promise<Provider> {
  const { org, region, reason } = given;
  const by = commandLineActor();
  return withJobs(io, async ({ kysely }, jobs) => {
    const deps = { db: kysely, clock: systemClock };
    const labels = { ...(org !== undefined && { org }), ...(region !== undefined && { region }) };
    const changed =
      verb === 'set'
        ? await labelProvider(deps, id, { labels, by, reason })
        : await actOnProvider(deps, id, { act: verb, by, reason });
    if (verb === 'resume' || verb === 'set') await wakeProposals(kysely, jobs);
    return known(id, changed);
  });
}

interface Shown extends Provider {
  outcomes: OutcomeCount[];
}

async function show(io: Io, id: string): Promise<Shown> {
  return withDatabase(io, async ({ kysely }) => {
    const found = known(id, await findProvider(kysely, id));
    return { ...found, outcomes: await listOutcomes(kysely, systemClock.now(), [id]) };
  });
}

function shownText(shown: Shown): string {
  const { ask } = shown;
  const facts = {
    ...row(shown),
    ask:
      ask === undefined
        ? '-'
        : `${ask.price} (verified ${ask.verifiedPrice}) attoFIL per GiB and epoch, ${formatBytes(ask.minPieceBytes)} to ${formatBytes(ask.maxPieceBytes)}, asked ${ask.at.toISOString()}`,
    transport: shown.transport === undefined ? '-' : `${shown.transport}, ${shown.transportAt?.toISOString() ?? ''}`,
    resolved: shown.resolvedAt?.toISOString() ?? '-',
    failures: String(shown.failures),
    'rests until': shown.retryAt?.toISOString() ?? '-',
  };
  const lines = Object.entries(facts).map(([name, value]) => `${name.padEnd(14)} ${printable(value)}`);
  const outcomes = shown.outcomes.map(({ state, reasonCode, count, lastAt }) => ({
    state,
    reason: reasonCode ?? '-',
    deals: String(count),
    last: lastAt.toISOString(),
  }));
  return `${lines.join('\n')}\n\n${table(outcomes, 'no deals yet')}`;
}

function isAct(verb: string): verb is ProviderAct {
  return Object.hasOwn(providerActs, verb);
}

export const provider: Command = {
  usage,
  summary: 'the storage providers that deals may be proposed to',
  async run(args, io) {
    const options = {
      ...jsonOption,
      'peer-id': { type: 'string' },
      multiaddr: { type: 'string', multiple: true },
      org: { type: 'string' },
      region: { type: 'string' },
      reason: { type: 'string' },
    } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    const verb = positional({ positionals, usage }, 0, 'add, list, show, set, pause, resume or remove');
    if (verb === 'list') {
      const all = await withDatabase(io, ({ kysely }) => listProviders(kysely));
      io.print(values.json ? toJson(all) : table(all.map(row), 'no providers yet: lading provider add f01234'));
      return 0;
    }
    const id = positional({ positionals, usage }, 1, 'ID');
    if (verb === 'show') {
      const shown = await show(io, parseProviderId(id));
      io.print(values.json ? toJson(shown) : shownText(shown));
      return 0;
    }
    if (verb !== 'add' && verb !== 'set' && !isAct(verb)) throw new BadInput('USAGE', `usage: lading ${usage}`);
    const found = verb === 'add' ? await add(io, id, values) : await change(io, parseProviderId(id), verb, values);
    io.print(values.json ? toJson(found) : table([row(found)], ''));
    return 0;
  },
};
