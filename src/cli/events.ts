import process from 'node:process';
import { watch } from '../client/watch.ts';
import { jsonOption, parseCommand, type Command } from './command.ts';
import { clientOptions, orCommandError, serviceClient } from './service-client.ts';
import { changeLine } from './status-picture.ts';

const usage = 'events [--cid CID …] [--state STATE …] [--after ID] [--url URL] [--token TOKEN] [--json]';

const many = { type: 'string', multiple: true, default: [] as string[] } as const;
const options = { ...jsonOption, ...clientOptions, cid: many, state: many, after: { type: 'string' } } as const;

export const events: Command = {
  usage,
  summary:
    'changes of uploads as they happen; --after 0 begins with the first there ever was, --after ID behind that one',
  async run(args, io) {
    const { values } = parseCommand(args, usage, options);
    const onRetry = ({ message }: Error) => io.say(`${message}; trying again`);
    const connection = { ...serviceClient(values, io.env, 'read'), onRetry, retries: 0 };
    const { cid, state: states, after, json } = values;
    const signal = AbortSignal.any([io.signal, readerGone()]);
    await orCommandError(async () => {
      const following = { states, signal, ...(after !== undefined && { since: after }) };
      for await (const change of watch(connection, cid, following)) {
        io.print(json ? JSON.stringify(change) : `${change.id}  ${change.cid}  ${changeLine(change)}`);
      }
    });
    return 0;
  },
};

/** Whoever reads our output may stop (`| head`): then there is nobody to follow changes for. */
function readerGone(): AbortSignal {
  const gone = new AbortController();
  process.stdout.once('error', () => gone.abort());
  return gone.signal;
}
