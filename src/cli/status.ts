import { check } from '../client/check.ts';
import type { Connection } from '../client/connection.ts';
import { watch } from '../client/watch.ts';
import { systemClock } from '../clock.ts';
import { BadInput } from '../errors.ts';
import { canonicalCid, parseCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import { clientOptions, orCommandError, publicClient, serviceClient } from './service-client.ts';
import { changeLine, statusPicture } from './status-picture.ts';

const usage = 'status CID [--watch] [--url URL] [--token TOKEN] [--json]';

const options = { ...jsonOption, ...clientOptions, watch: { type: 'boolean', default: false } } as const;

interface Task {
  connection: Connection;
  cid: string;
  json: boolean;
  io: Io;
}

export const status: Command = {
  usage,
  summary:
    'where an upload is: its pin, its deals, what it waits for and until when; --watch tells all that happens to it',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, options);
    const cid = checkedCid(positional({ positionals, usage }, 0, 'CID'));
    const onRetry = ({ message }: Error) => io.say(`${message}; trying again`);
    // Whoever asks once sees at once that nobody answers.
    const client = (values.watch ? serviceClient : publicClient)(values, io.env, 'read');
    const connection = { ...client, onRetry, retries: 0 };
    const task = { connection, cid, json: values.json, io };
    await orCommandError(() => show(task));
    if (values.watch) await orCommandError(() => follow(task));
    return 0;
  },
};

function checkedCid(text: string): string {
  try {
    parseCid(text);
    return text;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new BadInput(cause.code, cause.message, { cause });
  }
}

async function show({ connection, cid, json, io }: Task): Promise<void> {
  const found = await check(connection, cid, { signal: io.signal });
  if (found === undefined) throw new BadInput('NOT_FOUND', `the service has no upload ${cid}`);
  if (json) io.print(JSON.stringify({ ok: true, value: found }));
  else for (const line of statusPicture(found, systemClock.now())) io.print(line);
}

/** All that happened from the first on, so that nothing falls between the picture and the watch; until the command is ended. */
async function follow({ connection, cid, json, io }: Task): Promise<void> {
  if (!json) io.print('');
  const root = canonicalCid(parseCid(cid));
  for await (const change of watch(connection, root, { since: '0', signal: io.signal })) {
    io.print(json ? JSON.stringify(change) : changeLine(change));
  }
}
