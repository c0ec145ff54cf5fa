import { systemClock } from '../clock.ts';
import { readConfig } from '../config.ts';
import { connect, type Database } from '../db/connect.ts';
import { findRunningEmbedded } from '../db/running-embedded.ts';
import { openJobSender, type ManyJobs } from '../jobs/jobs.ts';
import { createLog } from '../log/log.ts';
import { openDatabase } from '../open-database.ts';
import { secretsOf } from '../log/redact.ts';
import type { Io } from '../terminal.ts';

/** Commands are short: a warning on standard error is all that a person wants of the machinery. */
const log = createLog('warn', { secrets: secretsOf(process.env) });

/**
 * Runs `act` on the database that the configuration names. An embedded one is used through the service that runs it,
 * and started for as long as `act` takes when none runs.
 */
export async function withDatabase<T>(io: Io, act: (database: Database) => Promise<T>): Promise<T> {
  const config = readConfig(io.env, 'tool');
  const running = config.databaseUrl === undefined ? await findRunningEmbedded(config.dataDir) : undefined;
  await using database =
    running === undefined
      ? await openDatabase(config, { log, signal: io.signal })
      : connect(running, { name: 'lading command', log });
  return await act(database);
}

/** As withDatabase, for commands that also wake a stage. */
export async function withJobs<T>(io: Io, act: (database: Database, jobs: ManyJobs) => Promise<T>): Promise<T> {
  return withDatabase(io, async (database) => {
    await using jobs = await openJobSender({ url: database.url, clock: systemClock, log });
    return await act(database, jobs);
  });
}
