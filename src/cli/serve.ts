import { readConfig } from '../config.ts';
import { createLog } from '../log/log.ts';
import { secretsOf } from '../log/redact.ts';
import { startService } from '../service.ts';
import { parseCommand, type Command } from './command.ts';

const usage = 'serve';
/** What is still running then is killed by its own crash-safety: the next start goes on. */
const STOP_LIMIT_MS = 10_000;

async function stopped(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) await new Promise((done) => signal.addEventListener('abort', done, { once: true }));
}

export const serve: Command = {
  usage,
  summary: 'run the service with the configuration in the environment (npm start)',
  async run(args, io) {
    parseCommand(args, usage, {});
    const config = readConfig(io.env);
    const log = createLog(config.logLevel, { secrets: secretsOf(io.env) });
    const service = await startService(config, { log, signal: io.signal });
    if (service.url !== undefined) io.say(`lading serves ${service.url}`);
    const broken = await Promise.race([stopped(io.signal), service.broken]);
    if (broken !== undefined) log.error({ reason: broken }, 'service.broken');
    const late = setTimeout(() => {
      log.error({ limitMs: STOP_LIMIT_MS }, 'service.stop_late');
      process.exit(broken === undefined ? 0 : 1);
    }, STOP_LIMIT_MS);
    await service.stop();
    clearTimeout(late);
    return broken === undefined ? 0 : 1;
  },
};
