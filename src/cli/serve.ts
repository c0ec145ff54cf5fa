import { readConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { startService } from '../service.ts';
import { parseCommand, type Command } from './command.ts';

const usage = 'serve';
/** What is still running then is killed by its own crash-safety: the next start goes on. */
const STOP_LIMIT_MS = 10_000;

export const serve: Command = {
  usage,
  summary: 'run the service with the configuration in the environment (npm start)',
  async run(args, io) {
    parseCommand(args, usage, {});
    const config = readConfig(io.env);
    const log = createLog(config.logLevel);
    const service = await startService(config, { log, signal: io.signal });
    if (service.url !== undefined) io.say(`lading serves ${service.url}`);
    if (!io.signal.aborted) await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    const late = setTimeout(() => {
      log.error({ limitMs: STOP_LIMIT_MS }, 'service.stop_late');
      process.exit(0);
    }, STOP_LIMIT_MS);
    await service.stop();
    clearTimeout(late);
    return 0;
  },
};
