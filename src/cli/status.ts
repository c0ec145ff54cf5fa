import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import { clientOptions, request, serviceClient } from './service-client.ts';

const usage = 'status CID [--url URL] [--token TOKEN] [--json]';

export const status: Command = {
  usage,
  summary: 'where an upload is: its pin, its deals, and what it waits for',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, ...clientOptions });
    const cid = positional({ positionals, usage }, 0, 'CID');
    const client = serviceClient(values, io.env, 'read');
    const response = await request(client, `/check/${encodeURIComponent(cid)}`, { signal: io.signal });
    const answer: unknown = await response.json();
    io.print(values.json ? JSON.stringify(answer) : JSON.stringify(answer, null, 2));
    return 0;
  },
};
