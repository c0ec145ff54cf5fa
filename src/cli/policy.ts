import { systemClock } from '../clock.ts';
import { BadInput } from '../errors.ts';
import { commandLineActor } from '../deals/audit.ts';
import { explainTerm, showPolicy } from '../deals/propose/policy.ts';
import { findPolicy, replacePolicy } from '../deals/propose/policy-store.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'policy show | policy set NAME=VALUE… [--reason TEXT] [--json]';

function line(name: string, value: string, meaning: string | undefined): string {
  return `${name.padEnd(24)} ${value}${meaning === undefined ? '' : ` (${meaning})`}`;
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
    const found = await withDatabase(io, async ({ kysely }) => {
      if (verb === 'show') return findPolicy(kysely);
      const { reason } = values;
      return replacePolicy(kysely, { pairs, by: commandLineActor(), reason, at: systemClock.now() });
    });
    const shown = { version: String(found.version), ...showPolicy(found) };
    if (values.json) io.print(toJson(shown));
    else for (const [name, value] of Object.entries(shown)) io.print(line(name, value, explainTerm(found, name)));
    return 0;
  },
};
