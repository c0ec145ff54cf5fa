import { chownSync, constants, existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { initCluster } from '../../src/db/init-cluster.ts';
import { migrate } from '../../src/db/migrate.ts';
import { chooseUser, ensureOwnFolder, type OsUser } from '../../src/db/os-user.ts';
import { findBinaries, type Binaries } from '../../src/db/postgres-binaries.ts';
import { commandLine, processIdentity } from '../../src/db/process-identity.ts';
import {
  parsePostmasterFile,
  readLogTail,
  readPostmasterText,
  spawnServer,
  stopProcess,
  untilReady,
} from '../../src/db/postmaster.ts';
import { installJobs } from '../../src/jobs/jobs.ts';
import { databaseUrl } from './database-url.ts';
import { WORKERS } from './workers.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A socket folder for each worker, and no database: `postgres://lading@/NAME?host=…`. */
    postgresFolders: string[];
  }
}

interface Server {
  folder: string;
  stop(): Promise<void>;
}

const TEMPLATE = 'template_lading';
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

/** Nothing here survives the run, so nothing is forced to disk. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  shared_buffers: '64MB',
  // Two vitest workers, each with a few databases, pools and job engines.
  max_connections: '200',
  autovacuum: 'off',
  jit: 'off',
  io_method: 'sync',
  listen_addresses: '',
  log_min_messages: 'warning',
};

/** A file system in memory, where Linux has one: a clone of the template is 500 small files, which a disk takes 2-6 times as long for. */
const MEMORY_FOLDER = '/dev/shm';
/** The cluster has 40 MB, each clone 10, and two workers have a few at once; containers often have 64 MB in all. */
const MEMORY_BYTES = 2 ** 30;

async function hasRoom(folder: string): Promise<boolean> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize >= MEMORY_BYTES,
    () => false,
  );
}

/** Short, because a unix socket's path has at most 107 bytes; and per user, because two users may share the parent. */
function ownFolder(parent: string): string {
  return join(parent, `lading-pg-${process.getuid?.() ?? 'all'}`);
}

/** Not in memory, from where many a system lets no program run. */
async function programsFolder(): Promise<string> {
  const folder = ownFolder(tmpdir());
  await ensureOwnFolder(folder);
  return folder;
}

/** What a run left that was killed: its postmaster lives on, and its folder. */
async function discardDeadRuns(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    const pid = /^(?:run|new)-(\d+)/.exec(name)?.[1];
    if (pid === undefined || processIdentity(Number(pid)) !== undefined) continue;
    const folder = join(base, name);
    await quit(join(folder, 'data'));
    await rm(folder, { recursive: true, force: true });
  }
}

/** Ends the server of a data folder at once, if one runs there. */
async function quit(dataDir: string): Promise<void> {
  const file = parsePostmasterFile(await readPostmasterText(dataDir));
  // Another process may have got the number since: only this folder's postgres is ours to end.
  if (file === undefined || commandLine(file.pid)?.includes(dataDir) !== true) return;
  if (!(await stopProcess(file.pid, [['SIGQUIT', STOP_LIMIT_MS]]))) {
    throw new Error(`the PostgreSQL of a test run (pid ${file.pid}) does not stop`);
  }
}

/** An empty cluster, made once a version and user, and copied for each run. */
async function cachedCluster(base: string, binaries: Binaries, user: OsUser | undefined): Promise<string> {
  const cached = join(base, `initdb-${binaries.version}-${user?.name ?? 'self'}`);
  if (existsSync(cached)) return cached;
  const folder = await mkdtemp(join(base, `new-${process.pid}-`));
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  await initCluster({ binaries, user, dataDir: join(folder, 'data'), durable: false });
  try {
    await rename(join(folder, 'data'), cached);
  } catch (error) {
    if (!existsSync(cached)) throw error;
  }
  await rm(folder, { recursive: true, force: true });
  return cached;
}

async function copyAsUser(from: string, to: string, user: OsUser | undefined): Promise<void> {
  await cp(from, to, { recursive: true, mode: constants.COPYFILE_FICLONE });
  if (user === undefined) return;
  for (const entry of ['.', ...(await readdir(to, { recursive: true }))])
    chownSync(join(to, entry), user.uid, user.gid);
}

async function startServer(base: string, worker: number): Promise<Server> {
  const user = chooseUser();
  const binaries = await findBinaries(user, programsFolder);
  const folder = join(base, `run-${process.pid}-${worker}`);
  await mkdir(folder);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const dataDir = join(folder, 'data');
  await copyAsUser(await cachedCluster(base, binaries, user), dataDir, user);
  const logFile = join(folder, 'log');
  const settings = { ...SETTINGS, unix_socket_directories: folder };
  const child = spawnServer({ binaries, user, dataDir, logFile, settings });
  const state = await untilReady(child, dataDir, AbortSignal.timeout(START_LIMIT_MS));
  if (state === 'ended') throw new Error(`PostgreSQL for tests did not start: ${await readLogTail(logFile)}`);
  const stop = async () => {
    await quit(dataDir);
    await rm(folder, { recursive: true, force: true });
  };
  return { folder, stop };
}

async function query(url: string, sql: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<[string]>({ text: sql, rowMode: 'array' })).rows.map(([first]) => first);
  } finally {
    await client.end();
  }
}

/** One database, migrated and with its queues, that every test's database is a copy of. */
async function makeTemplate(folder: string): Promise<void> {
  const admin = databaseUrl(folder, 'postgres');
  await query(admin, `create database ${TEMPLATE}`);
  await migrate(databaseUrl(folder, TEMPLATE));
  await installJobs(databaseUrl(folder, TEMPLATE));
  await query(admin, `alter database ${TEMPLATE} with is_template true allow_connections false`);
}

async function complainOfLeaks(folder: string): Promise<void> {
  const left = await query(
    databaseUrl(folder, 'postgres'),
    `select datname from pg_database where datname like 'test_%'`,
  );
  if (left.length > 0)
    throw new Error(`${left.length} test databases were not disposed: every test has to \`await using\` its own`);
}

/**
 * A server for each worker: transactions of tests beside one would hold back what readers of events may see, as numbers
 * of transactions are a server's, not a database's.
 */
async function startServers(): Promise<Server[]> {
  const base = ownFolder((await hasRoom(MEMORY_FOLDER)) ? MEMORY_FOLDER : tmpdir());
  await ensureOwnFolder(base);
  await discardDeadRuns(base);
  const user = chooseUser();
  // Made once, before two servers want a copy of it at the same moment.
  await cachedCluster(base, await findBinaries(user, programsFolder), user);
  return await Promise.all(
    Array.from({ length: WORKERS }, async (_, worker) => {
      const server = await startServer(base, worker);
      await makeTemplate(server.folder);
      return server;
    }),
  );
}

/** Both database projects of one run share their servers. */
const shared = globalThis as { ladingTestServers?: { users: number; servers: Promise<Server[]> } };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  shared.ladingTestServers ??= { users: 0, servers: startServers() };
  const mine = shared.ladingTestServers;
  mine.users += 1;
  const servers = await mine.servers;
  project.provide(
    'postgresFolders',
    servers.map(({ folder }) => folder),
  );
  return async () => {
    mine.users -= 1;
    if (mine.users > 0) return;
    delete shared.ladingTestServers;
    try {
      for (const { folder } of servers) await complainOfLeaks(folder);
    } finally {
      for (const server of servers) await server.stop();
    }
  };
}
