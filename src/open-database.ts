import { connect, type Database } from './db/connect.ts';
import { startEmbedded, type EmbeddedPostgres } from './db/embedded.ts';
import { migrate } from './db/migrate.ts';
import { settleRestored } from './db/settle-restored.ts';
import type { Config } from './config.ts';
import { describeError, LadingError } from './errors.ts';
import { installJobs } from './jobs/jobs.ts';
import type { Log } from './log/log.ts';

export interface OpenDatabase extends Database {
  /** Nobody else uses this database or its local store: it is embedded, and we hold it. */
  readonly soleOwner: boolean;
  /** Resolves with its last words when an embedded server ends by itself: nothing brings it back but a new start. */
  readonly ended: Promise<string>;
}

interface OpenOptions {
  log: Log;
  signal: AbortSignal;
}

/** Only an embedded server is ours to miss; any other comes back to the same address. */
const NEVER = new Promise<string>(() => undefined);

async function prepare(url: string): Promise<void> {
  await migrate(url);
  await installJobs(url);
}

/** As prepare; a fault is told in words of the configuration, without the URL, which holds a password. */
async function prepareConfigured(url: string): Promise<void> {
  try {
    await prepare(url);
  } catch (cause) {
    if (cause instanceof LadingError) throw cause;
    throw new LadingError(
      'DATABASE_UNUSABLE',
      `the database that DATABASE_URL names cannot be used: ${describeError(cause)}`,
      { retry: 'later' },
    );
  }
}

/** A folder that is a file, read-only, full, or another user's is told as what it is: a fault of DATA_DIR. */
async function startOwn(dataDir: string, options: OpenOptions): Promise<EmbeddedPostgres> {
  try {
    return await startEmbedded({ dataDir, ...options });
  } catch (cause) {
    const isOfFiles = cause instanceof Error && 'syscall' in cause && 'path' in cause;
    if (!isOfFiles) throw cause;
    throw new LadingError('DATA_DIR_UNUSABLE', `DATA_DIR=${dataDir} cannot be used: ${describeError(cause)}`);
  }
}

/** The database that the configuration names, or the embedded one of DATA_DIR, migrated and ready for jobs. */
export async function openDatabase(config: Config, { log, signal }: OpenOptions): Promise<OpenDatabase> {
  await using stack = new AsyncDisposableStack();
  let url = config.databaseUrl;
  let ended = NEVER;
  if (url !== undefined) await prepareConfigured(url);
  else {
    const embedded = await startOwn(config.dataDir, { log, signal });
    stack.defer(() => embedded.close());
    url = embedded.url;
    ({ ended } = embedded);
    await prepare(url);
  }
  const database = stack.use(connect(url, { name: 'lading', log }));
  if (await settleRestored(database.kysely)) log.warn({}, 'database.came_from_another_server');
  const owned = stack.move();
  const { kysely, pool } = database;
  return {
    kysely,
    pool,
    url,
    soleOwner: config.databaseUrl === undefined,
    ended,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
