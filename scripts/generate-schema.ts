// `npx node scripts/generate-schema.ts`, after a change of migrations/: writes src/db/tables.ts and migrations/schema.snapshot.sql
// from a fresh database. The test test/db/schema-files.db.test.ts fails until they are up to date.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { silentLog } from '../src/log/log.ts';
import { renderSnapshot, renderTables, SNAPSHOT_FILE, TABLES_FILE } from './schema-files.ts';

const folder = await mkdtemp(join(tmpdir(), 'lading-schema-'));
try {
  await chmod(folder, 0o755);
  await using server = await startEmbedded({ dataDir: folder, log: silentLog, signal: new AbortController().signal });
  await migrate(server.url);
  await using database = connect(server.url);
  await writeFile(TABLES_FILE, await renderTables(database.kysely));
  await writeFile(SNAPSHOT_FILE, await renderSnapshot(database.pool));
  console.log(`written: ${TABLES_FILE}\nwritten: ${SNAPSHOT_FILE}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
