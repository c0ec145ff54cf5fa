import { sql, type Kysely } from 'kysely';
import type { Database } from '../../db/connect.ts';
import type { DB } from '../../db/tables.ts';
import { statusRows, toStatus, type StatusRow, type UploadStatus } from './status-store.ts';

/** Statuses of uploads by their roots (CIDv1 base32): what is committed when they are asked for, nothing kept. */
export interface StatusReader {
  /** Undefined when there is no such upload, or it was removed. Whoever asks while queries run shares the next one. */
  find(root: string): Promise<UploadStatus | undefined>;
  /** All by one query; what is unknown or removed is left out. */
  list(roots: readonly string[]): Promise<Map<string, UploadStatus>>;
}

/** Queries of `find` at a time, so that single checks never take the pool from all else. */
const MAX_QUERIES = 2;
/** Uploads of one query of `find`: more would keep the first of them waiting for the last. */
const MAX_GATHERED = 100;
/** What each connection prepares the query as, once. */
const STATEMENT = 'upload-statuses';

interface Asked {
  root: string;
  resolve(status: UploadStatus | undefined): void;
  reject(error: unknown): void;
}

/**
 * Kysely writes the query, once: writing it anew at each check takes longer than all the rest. As a subquery the length of
 * the array is unknown to every plan, so PostgreSQL soon keeps one and plans no more.
 */
export function statusStatement(kysely: Kysely<DB>): { name: string; text: string } {
  const { sql: text } = statusRows(kysely, (view) =>
    view.where(sql<boolean>`s.root = any((select ${[]}::text[])::text[])`).where('s.state', '<>', sql.lit('removed')),
  ).compile();
  return { name: STATEMENT, text };
}

export function createStatusReader({ kysely, pool }: Pick<Database, 'kysely' | 'pool'>): StatusReader {
  const statement = statusStatement(kysely);
  const list = async (roots: readonly string[]) => {
    const { rows } = await pool.query<StatusRow>({ ...statement, values: [roots] });
    return new Map(rows.map((row) => [row.root ?? '', toStatus(row)]));
  };
  return { list, find: gather(list) };
}

/** One at a time at first, and together what comes while as many run as may. */
function gather(list: StatusReader['list']): StatusReader['find'] {
  let waiting: Asked[] = [];
  let running = 0;
  const runNext = async () => {
    const batch = waiting.slice(0, MAX_GATHERED);
    waiting = waiting.slice(MAX_GATHERED);
    running += 1;
    try {
      const found = await list([...new Set(batch.map(({ root }) => root))]);
      for (const { root, resolve } of batch) resolve(found.get(root));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    running -= 1;
    if (waiting.length > 0) void runNext();
  };
  return (root) =>
    new Promise((resolve, reject) => {
      waiting.push({ root, resolve, reject });
      if (running < MAX_QUERIES) void runNext();
    });
}
