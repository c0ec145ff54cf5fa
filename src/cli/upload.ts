import process from 'node:process';
import { systemClock } from '../clock.ts';
import { formatBytes } from '../filecoin/units.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import type { Io } from '../terminal.ts';
import { sendUpload } from './send-upload.ts';
import { clientOptions, serviceClient, type ServiceClient } from './service-client.ts';
import { UploadProgress } from './upload-progress.ts';
import { openUploadSource } from './upload-source.ts';

const usage = 'upload FILE|FOLDER|FILE.car… [--url URL] [--token TOKEN] [--json]';

interface UploadTask {
  client: ServiceClient;
  json: boolean;
  io: Io;
}

async function uploadOne(path: string, { client, json, io }: UploadTask): Promise<void> {
  await using source = await openUploadSource(path);
  const totalBytes = source.partBytes.reduce((sum, bytes) => sum + bytes, 0);
  const shows = process.stderr.isTTY && !json;
  const write = shows ? (text: string) => void process.stderr.write(text) : undefined;
  const progress = new UploadProgress({ name: source.name, totalBytes, clock: systemClock, write });
  const say = (line: string) => {
    progress.clear();
    io.say(line);
  };
  try {
    const sent = await sendUpload(source, { client, signal: io.signal, say, onBytes: (bytes) => progress.add(bytes) });
    progress.clear();
    const cid = source.root.toString();
    const { outcome, sentBytes, value } = sent;
    if (json) io.print(JSON.stringify({ path, cid, outcome, sentBytes, value }));
    else io.print(`${cid}  ${path}: ${outcome === 'known' ? 'known already' : `${formatBytes(sentBytes)} sent`}`);
  } finally {
    progress.clear();
  }
}

export const upload: Command = {
  usage,
  summary: 'send files, folders (packed as UnixFS) and CARs to a running service, each an upload of its own',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, { ...jsonOption, ...clientOptions });
    positional({ positionals, usage }, 0, 'FILE');
    const client = serviceClient(values, io.env, 'upload');
    for (const path of positionals) await uploadOne(path, { client, json: values.json, io });
    return 0;
  },
};
