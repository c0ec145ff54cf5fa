import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rename, stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { LadingError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import { clusterPassword } from './cluster-password.ts';
import { findDataPlace, noteLocation, type DataPlace } from './data-place.ts';
import { findServer, ownerSetting, removeStaleFile } from './find-server.ts';
import { DATABASE_USER } from './init-cluster.ts';
import { ensureCluster, hasCluster } from './make-cluster.ts';
import { hasEnded, readLogTail, spawnServer, stopProcess, untilReady } from './postmaster.ts';

export interface EmbeddedOptions {
  /** The service's DATA_DIR. */
  dataDir: string;
  log: Log;
  /** Ends a start that is under way; a started server is ended by `close`. */
  signal: AbortSignal;
  /** Where data and programs go that root's database user could not reach; by default the system's places. */
  sharedFolders?: readonly string[];
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** With the password: for the database driver, never for a log. */
  url: string;
  pid: number;
  /** Where the data lies: DATA_DIR/postgres, or elsewhere when root's database user cannot reach that. */
  dataDir: string;
  /** Resolves with the end of the server's log if it ends before `close`. */
  ended: Promise<string>;
  close(): Promise<void>;
}

const DATABASE_NAME = 'lading';
const LOG_FILE = 'postgres.log';
/** A server that complains all day writes no more than this twice. */
const LOG_LIMIT_BYTES = 16 * 2 ** 20;
/** Recovery after a kill replays at most max_wal_size: seconds on a disk of today, minutes on a poor one. */
const START_LIMIT_MS = 180_000;
/** A port that another program took between our look and the server's, or memory that a killed server's sessions still hold. */
const START_ATTEMPTS = 8;
const ATTEMPT_WAIT_MS = 250;
/** A fast stop writes a checkpoint of at most shared_buffers. After a hard one the next start recovers, and nothing is lost. */
const STOP_STEPS: readonly [NodeJS.Signals, number][] = [
  ['SIGINT', 3_000],
  ['SIGQUIT', 1_000],
  ['SIGKILL', 1_000],
];
/** An orphan is nobody's hurry: it may finish its checkpoint. */
const ORPHAN_STEPS: readonly [NodeJS.Signals, number][] = [
  ['SIGINT', 20_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];
const CONNECT_LIMIT_MS = 10_000;

/** Durable as PostgreSQL is by default (fsync, synchronous_commit, full_page_writes stay on), and small. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  // Everything goes by TCP with a password; a socket in a shared folder would be one more door.
  unix_socket_directories: '',
  // Pools of 10 for the service and 5 for jobs, migrations, and a person with psql; the default of 100 takes more memory.
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  // Nothing replicates from here.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  // Three more processes for reading ahead are of no use to a database of this size.
  io_method: 'sync',
  // Our queries are short: compiling them costs more than it saves.
  jit: 'off',
  password_encryption: 'scram-sha-256',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
};

/**
 * Starts the PostgreSQL that npm brought, on 127.0.0.1 at a free port, with its data below DATA_DIR; makes the data at
 * the first start, and goes on from whatever a killed service left. Throws `DATA_DIR_IN_USE` while another process
 * that lives runs one there.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { dataDir: folder, log, signal } = options;
  const startedAt = performance.now();
  const place = await findDataPlace({
    folder,
    log,
    ...(options.sharedFolders && { sharedFolders: options.sharedFolders }),
  });
  const first = !hasCluster(place.dataDir);
  const password = await clusterPassword(folder, !first);
  await ensureCluster(place, password, signal);
  await noteLocation(folder, place.dataDir);
  const server = new EmbeddedServer(await startServer(place, options), place, { folder, password });
  try {
    await createDatabase(server.urlOf('postgres'));
  } catch (error) {
    await server.close();
    throw error;
  }
  const tookMs = Math.round(performance.now() - startedAt);
  log.info({ pid: server.pid, dataDir: place.dataDir, first, tookMs }, 'database.started');
  return server;
}

interface Started {
  child: ChildProcess;
  pid: number;
  port: number;
}

/** PostgreSQL's own lock file decides between starts at the same moment: whose server ends looks again at who has it. */
async function startServer(place: DataPlace, { dataDir: folder, log, signal }: EmbeddedOptions): Promise<Started> {
  const logFile = join(folder, LOG_FILE);
  await rotateLog(logFile);
  const logStart = await stat(logFile).then(
    ({ size }) => size,
    () => 0,
  );
  for (let attempt = 1; attempt <= START_ATTEMPTS; attempt += 1) {
    await clearWay(place.dataDir, folder, log);
    const started = await attemptStart(place, logFile, signal);
    if (started !== undefined) return started;
    await delay(ATTEMPT_WAIT_MS, undefined, { signal });
  }
  const said = await readLogTail(logFile, logStart);
  throw new LadingError(
    'DATABASE_START_FAILED',
    `PostgreSQL did not start in ${place.dataDir}; its log ${logFile} says:\n${said}`,
  );
}

async function attemptStart(place: DataPlace, logFile: string, signal: AbortSignal): Promise<Started | undefined> {
  const port = await freePort();
  const settings = { ...SETTINGS, ...ownerSetting(), port: String(port) };
  const child = spawnServer({ ...place, logFile, settings });
  try {
    const state = await untilReady(
      child,
      place.dataDir,
      AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]),
    );
    return state === 'ready' && child.pid !== undefined ? { child, pid: child.pid, port } : undefined;
  } catch (error) {
    if (child.pid !== undefined) await stopProcess(child.pid, STOP_STEPS);
    throw error;
  }
}

/** Sees to it that no other server has the data folder: ends an orphan, and throws when a living process owns one. */
async function clearWay(dataDir: string, folder: string, log: Log): Promise<void> {
  const found = await findServer(dataDir);
  switch (found.kind) {
    case 'none':
      return;
    case 'stale':
      log.warn({ dataDir }, 'database.stale_pid_file');
      return removeStaleFile(dataDir, found.text);
    case 'owned': {
      const message = `${folder} is in use by the process ${found.pid}: stop that first, or set another DATA_DIR`;
      throw new LadingError('DATA_DIR_IN_USE', message, { details: { pid: found.pid } });
    }
    case 'orphan':
      log.info({ pid: found.pid, dataDir }, 'database.orphan_found');
      if (await stopProcess(found.pid, ORPHAN_STEPS)) return;
      throw new LadingError(
        'DATABASE_ORPHAN_STAYS',
        `the PostgreSQL ${found.pid} of a service that died does not stop: end it by hand`,
      );
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function rotateLog(logFile: string): Promise<void> {
  const size = await stat(logFile).then(
    (file) => file.size,
    () => 0,
  );
  if (size > LOG_LIMIT_BYTES) await rename(logFile, `${logFile}.1`);
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_LIMIT_MS });
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE_NAME]);
    if (rowCount === 0) await client.query(`create database ${DATABASE_NAME}`);
  } finally {
    await client.end();
  }
}

class EmbeddedServer implements EmbeddedPostgres {
  readonly pid: number;
  readonly dataDir: string;
  readonly ended: Promise<string>;
  readonly #port: number;
  readonly #password: string;
  #closing: Promise<void> | undefined;

  constructor(
    { child, pid, port }: Started,
    { dataDir }: DataPlace,
    { folder, password }: { folder: string; password: string },
  ) {
    this.pid = pid;
    this.dataDir = dataDir;
    this.#port = port;
    this.#password = password;
    this.ended = new Promise((resolve) => {
      const tell = () => {
        if (this.#closing === undefined) resolve(readLogTail(join(folder, LOG_FILE)));
      };
      if (hasEnded(child)) tell();
      else child.once('exit', tell);
    });
  }

  get url(): string {
    return this.urlOf(DATABASE_NAME);
  }

  urlOf(database: string): string {
    return `postgres://${DATABASE_USER}:${this.#password}@127.0.0.1:${this.#port}/${database}`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  async #stop(): Promise<void> {
    if (await stopProcess(this.pid, STOP_STEPS)) return;
    throw new LadingError('DATABASE_STOP_FAILED', `PostgreSQL (pid ${this.pid}) does not stop`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
