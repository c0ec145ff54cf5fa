import { openAsBlob } from 'node:fs';
import { BadInput } from '../errors.ts';
import { formatBytes } from '../filecoin/units.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import { clientOptions, request, serviceClient } from './service-client.ts';

const usage = 'upload FILE.car [--url URL] [--token TOKEN] [--json]';

export const upload: Command = {
  usage,
  summary: 'send a CAR to a running service',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, ...clientOptions });
    const file = positional({ positionals, usage }, 0, 'FILE.car');
    const client = serviceClient(values, io.env, 'upload');
    const body = await openAsBlob(file).catch((cause: unknown) => {
      throw new BadInput('FILE_UNREADABLE', `cannot read ${file}`, { cause });
    });
    const headers = { 'content-type': 'application/vnd.ipld.car' };
    const response = await request(client, '/upload', { method: 'POST', body, headers, signal: io.signal });
    const answer: unknown = await response.json();
    if (values.json) io.print(JSON.stringify(answer));
    else io.print(`${file}: ${formatBytes(body.size)} received\n${JSON.stringify(answer, null, 2)}`);
    return 0;
  },
};
