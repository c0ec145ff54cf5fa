import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Log } from '../log/log.ts';
import type { DB } from './tables.ts';

export interface Database extends AsyncDisposable {
  kysely: Kysely<DB>;
  pool: pg.Pool;
  url: string;
}

export interface ConnectOptions {
  /** Seen in pg_stat_activity. */
  name?: string;
  maxConnections?: number;
  log?: Pick<Log, 'warn'>;
}

/** One service's share: API requests, four stage handlers and the watch; the embedded server takes 60 in all. */
const MAX_CONNECTIONS = 10;
/** A database on the same network answers in milliseconds: after this it is down, and the caller should know. */
const CONNECT_LIMIT_MS = 10_000;
/** Every statement of ours is by index and bounded; one that runs longer holds locks for nobody. */
const STATEMENT_LIMIT_MS = 30_000;
/** No transaction of ours is open across a network call, so one that idles belongs to code that has lost it. */
const IDLE_TRANSACTION_LIMIT_MS = 30_000;
/** Bursts are over after this, and their connections go back to the server. */
const IDLE_CONNECTION_MS = 30_000;

const INT8_OID: number = pg.types.builtins.INT8;

/** pg's own choice; its types name the oids by an enum, which a number from the wire is not. */
const defaultParser = pg.types.getTypeParser as (oid: number, format?: 'text' | 'binary') => (text: string) => unknown;

/** Per pool, never `pg.types.setTypeParser`, which would change every library in the process. numeric stays text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8_OID && format !== 'binary' ? BigInt : defaultParser(oid, format),
};

/** A pool of connections and Kysely over it: int8 is bigint, numeric text, timestamptz Date. Connects at first use. */
export function connect(url: string, options: ConnectOptions = {}): Database {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: options.name ?? 'lading',
    max: options.maxConnections ?? MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    statement_timeout: STATEMENT_LIMIT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_LIMIT_MS,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    types,
  });
  // Without a listener, a server that restarts would end our process through an idle connection.
  pool.on('error', (error) => options.log?.warn({ err: error.message }, 'database.connection-lost'));
  // A connection in use has no listener of the pool's; whoever holds it learns of its loss by its next query.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  const close = async () => {
    await kysely.destroy();
    // Kysely ends the pool only if it has used it itself.
    if (!pool.ending) await pool.end();
  };
  return { kysely, pool, url, [Symbol.asyncDispose]: close };
}
