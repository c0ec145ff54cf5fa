import { runDemo } from '../demo/run-demo.ts';
import { parseCommand, type Command } from './command.ts';

const usage = 'demo [--exit] [--json] [--data-dir DIR]';

export const demo: Command = {
  usage,
  summary: 'a whole network on this machine: uploads, aggregates, deals, until every deal is active',
  async run(args, io) {
    const options = {
      exit: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'data-dir': { type: 'string' },
    } as const;
    const { values } = parseCommand(args, usage, options);
    return runDemo({ exit: values.exit, json: values.json, dataDir: values['data-dir'] }, io);
  },
};
