// A service as small as can be, for tests that kill it: starts the embedded database, writes a row, says so, and waits.
import process from 'node:process';
import pg from 'pg';
import { startEmbedded } from '../../src/db/embedded.ts';
import { describeError, LadingError } from '../../src/errors.ts';
import { createLog } from '../../src/log/log.ts';

const [dataDir = '', ...sharedFolders] = process.argv.slice(2);
const stop = new AbortController();

try {
  const server = await startEmbedded({
    dataDir,
    log: createLog('info'),
    signal: stop.signal,
    ...(sharedFolders.length > 0 && { sharedFolders }),
  });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query('create table if not exists starts (pid integer)');
  await client.query('insert into starts values ($1)', [process.pid]);
  const { rows } = await client.query<{ count: number }>('select count(*)::integer as count from starts');
  const running = setInterval(() => undefined, 60_000);
  process.on('SIGTERM', () => {
    clearInterval(running);
    void client.end().then(() => server.close());
  });
  process.stdout.write(
    `${JSON.stringify({ pid: server.pid, dataDir: server.dataDir, url: server.url, starts: rows[0]?.count })}\n`,
  );
} catch (error) {
  const code = error instanceof LadingError ? error.code : 'UNKNOWN';
  process.stdout.write(`${JSON.stringify({ code, message: describeError(error) })}\n`);
  process.exitCode = 1;
}
