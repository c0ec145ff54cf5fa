import { BadInput } from '../errors.ts';
import { changePolicy, showPolicy } from '../deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../deals/propose/policy-store.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'policy show | policy set NAME=VALUE… [--json]';

export const policy: Command = {
  usage,
  summary: 'the deal policy in force; each change is a new version',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, jsonOption);
    const verb = positional({ positionals, usage }, 0, 'show or set');
    const pairs = positionals.slice(1);
    if (verb !== 'show' && verb !== 'set') throw new BadInput('USAGE', `usage: lading ${usage}`);
    if (verb === 'set') positional({ positionals, usage }, 1, 'NAME=VALUE');
    const found = await withDatabase(io, async ({ kysely }) => {
      const current = await findPolicy(kysely);
      if (verb === 'show') return current;
      return insertPolicy(kysely, changePolicy(current, pairs), { at: new Date(), by: 'command line' });
    });
    const shown = { version: String(found.version), ...showPolicy(found) };
    if (values.json) io.print(toJson(shown));
    else for (const [name, value] of Object.entries(shown)) io.print(`${name.padEnd(20)} ${value}`);
    return 0;
  },
};
