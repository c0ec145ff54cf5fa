import { connect, type Database } from './db/connect.ts';
import { startEmbedded } from './db/embedded.ts';
import { migrate } from './db/migrate.ts';
import type { Config } from './config.ts';
import { installJobs } from './jobs.ts';
import type { Log } from './log.ts';

export interface OpenDatabase extends Database {
  /** Nobody else uses this database or its local store: it is embedded, and we hold it. */
  readonly soleOwner: boolean;
}

interface OpenOptions {
  log: Log;
  signal: AbortSignal;
}

/** The database that the configuration names, or the embedded one of DATA_DIR, migrated and ready for jobs. */
export async function openDatabase(config: Config, { log, signal }: OpenOptions): Promise<OpenDatabase> {
  await using stack = new AsyncDisposableStack();
  let url = config.databaseUrl;
  if (url === undefined) {
    const embedded = await startEmbedded({ dataDir: config.dataDir, log, signal });
    stack.defer(() => embedded.close());
    url = embedded.url;
  }
  await migrate(url);
  await installJobs(url);
  const database = stack.use(connect(url, { name: 'lading', log }));
  const owned = stack.move();
  const { kysely, pool } = database;
  return {
    kysely,
    pool,
    url,
    soleOwner: config.databaseUrl === undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
