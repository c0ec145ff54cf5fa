import { systemClock } from '../clock.ts';
import { BadInput } from '../errors.ts';
import { commandLineActor } from '../deals/audit.ts';
import { explainTerm, showPolicy, type Policy } from '../deals/propose/policy.ts';
import { findPolicy, replacePolicy } from '../deals/propose/policy-store.ts';
import type { Io } from '../terminal.ts';
import { wakeProposals } from '../running/wake-proposals.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';
import { withDatabase, withJobs } from './database.ts';

const usage = 'policy show | policy set NAME=VALUE… [--reason TEXT] [--json]';

function line(name: string, value: string, meaning: string | undefined): string {
  return `${name.padEnd(24)} ${value}${meaning === undefined ? '' : ` (${meaning})`}`;
}

async function set(io: Io, pairs: string[], reason: string | undefined): Promise<Policy> {
  return withJobs(io, async ({ kysely }, jobs) => {
    const changed = await replacePolicy(kysely, { pairs, by: commandLineActor(), reason, at: systemClock.now() });
    await wakeProposals(kysely, jobs);
    return changed;
  });
}

export const policy: Command = {
  usage,
  summary: 'the deal policy in force; each change is a new version',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, reason: { type: 'string' } } as const);
    const verb = positional({ positionals, usage }, 0, 'show or set');
    const pairs = positionals.slice(1);
    if (verb !== 'show' && verb !== 'set') throw new BadInput('USAGE', `usage: lading ${usage}`);
    if (verb === 'set') positional({ positionals, usage }, 1, 'NAME=VALUE');
    const found =
      verb === 'show'
        ? await withDatabase(io, ({ kysely }) => findPolicy(kysely))
        : await set(io, pairs, values.reason);
    const shown = { version: String(found.version), ...showPolicy(found) };
    if (values.json) io.print(toJson(shown));
    else for (const [name, value] of Object.entries(shown)) io.print(line(name, value, explainTerm(found, name)));
    return 0;
  },
};
