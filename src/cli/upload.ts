import process from 'node:process';
import { sendPlanned } from '../client/upload.ts';
import { systemClock } from '../clock.ts';
import { formatBytes } from '../filecoin/units.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import { clientOptions, orCommandError, serviceClient, type ServiceClient } from './service-client.ts';
import { UploadProgress } from './upload-progress.ts';
import { openUploadSource, sourceName } from './upload-source.ts';

const usage = 'upload FILE|FOLDER|FILE.car… [--url URL] [--token TOKEN] [--json]';

interface UploadTask {
  client: ServiceClient;
  json: boolean;
  io: Io;
}

async function uploadOne(path: string, { client, json, io }: UploadTask): Promise<void> {
  const source = await openUploadSource(path);
  const name = sourceName(path);
  const totalBytes = source.partBytes.reduce((sum, bytes) => sum + bytes, 0);
  const shows = process.stderr.isTTY && !json;
  const write = shows ? (text: string) => void process.stderr.write(text) : undefined;
  const progress = new UploadProgress({ name, totalBytes, clock: systemClock, write });
  const onRetry = ({ message }: Error) => {
    progress.clear();
    io.say(`${name}: ${message}; trying again`);
  };
  const onProgress = ({ doneBytes }: { doneBytes: number }) => progress.show(doneBytes);
  try {
    const sent = await sendPlanned({ ...client, onRetry }, source, { signal: io.signal, onProgress });
    progress.clear();
    const cid = source.root.toString();
    const { outcome, sentBytes, status } = sent;
    if (json) io.print(JSON.stringify({ path, cid, outcome, sentBytes, value: status }));
    else io.print(`${cid}  ${path}: ${outcome === 'known' ? 'known already' : `${formatBytes(sentBytes)} sent`}`);
  } finally {
    progress.clear();
    await source.close();
  }
}

export const upload: Command = {
  usage,
  summary: 'send files, folders (packed as UnixFS) and CARs to a running service, each an upload of its own',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, ...clientOptions });
    positional({ positionals, usage }, 0, 'FILE');
    const client = serviceClient(values, io.env, 'upload');
    for (const path of positionals) {
      await orCommandError(() => uploadOne(path, { client, json: values.json, io }), sourceName(path));
    }
    return 0;
  },
};
