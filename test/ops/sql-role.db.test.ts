import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { installJobs } from '../../src/jobs/jobs.ts';
import { migrate } from '../../src/db/migrate.ts';
import { reports } from '../../src/ops/report-rows.ts';
import { testDatabase } from '../support/database.ts';

const DOC = fileURLToPath(new URL('../../docs/sql.md', import.meta.url));

interface Column {
  view: string;
  column: string;
}

async function columnsOf(pool: pg.Pool): Promise<Map<string, string[]>> {
  const { rows } = await pool.query<Column>(`select c.relname as view, a.attname as column
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'v' and c.relname like 'ops\\_%' and a.attnum > 0 order by a.attnum`);
  const grouped = Map.groupBy(rows, ({ view }) => view);
  return new Map([...grouped].map(([view, columns]) => [view, columns.map(({ column }) => column)]));
}

/** Each view's own paragraph, from its bold name up to the next one's. */
function paragraphs(text: string): Map<string, string> {
  const parts = text.split(/\*\*`(ops_[a-z_]+)`\*\*/);
  const found = new Map<string, string>();
  for (let at = 1; at < parts.length; at += 2) found.set(parts[at] ?? '', parts[at + 1] ?? '');
  return found;
}

test('docs/sql.md names every view and every column, and no other view', async () => {
  await using db = await testDatabase();
  const text = await readFile(DOC, 'utf8');
  const told = paragraphs(text);
  const columns = await columnsOf(db.pool);
  expect(columns.size).toBeGreaterThan(20);
  const besides = new Set(['ops_aggregate_stages', 'ops_aggregate_times', 'ops_stage_times']);
  expect([...columns.keys()].filter((view) => !besides.has(view)).sort()).toEqual([...told.keys()].sort());
  for (const [view, names] of columns) {
    const paragraph = told.get(view) ?? text;
    const missing = names.filter((name) => !paragraph.includes(`\`${name}\``));
    expect(missing, `${view}: columns that are not told`).toEqual([]);
  }
  for (const view of text.match(/ops_[a-z_]+/g) ?? []) {
    if (view !== 'ops_') expect(columns.has(view), view).toBe(true);
  }
});

test('each report names columns that its view has', async () => {
  await using db = await testDatabase();
  const columns = await columnsOf(db.pool);
  for (const { view, row } of Object.values(reports)) {
    const named = Object.keys(row).map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
    expect(columns.get(view)?.toSorted()).toEqual(named.sort());
  }
});

test('every question of docs/sql.md is answered to the role lading_ops', async () => {
  await using db = await testDatabase();
  await installJobs(db.url);
  const text = await readFile(DOC, 'utf8');
  const questions = [...text.matchAll(/^ {4}(select .*;)$/gm)].map(([, question = '']) => question);
  const views = new Set(questions.flatMap((question) => question.match(/ops_[a-z_]+/g) ?? []));
  expect([...views].sort()).toEqual([...paragraphs(text).keys()].sort());
  const client = await db.pool.connect();
  try {
    await client.query('set role lading_ops');
    for (const question of questions) await expect(client.query(question), question).resolves.toBeDefined();
  } finally {
    await client.query('reset role');
    client.release();
  }
});

test('lading_ops reads the views and nothing else, and may change nothing', async () => {
  await using db = await testDatabase();
  await installJobs(db.url);
  const { rows } = await db.pool.query<{
    name: string;
    isOps: boolean;
  }>(`select format('%I.%I', n.nspname, c.relname) as name,
      n.nspname = 'public' and c.relname like 'ops\\_%' as "isOps"
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname in ('public', 'pgboss')`);
  expect(rows.filter(({ isOps }) => isOps).length).toBeGreaterThan(20);
  for (const { name, isOps } of rows) {
    const { rows: may } = await db.pool
      .query(
        `select has_any_column_privilege('lading_ops', $1, 'select') as read, has_table_privilege('lading_ops', $1, 'insert, update, delete, truncate, trigger') as change`,
        [name],
      )
      .catch(() => ({ rows: [] }));
    // A sequence has no columns.
    if (may.length > 0) expect(may[0], name).toEqual({ read: isOps, change: false });
  }
  const client = await db.pool.connect();
  try {
    await client.query('set role lading_ops');
    for (const refused of [
      'select * from tokens',
      'select signed_proposal from deals',
      'select url from webhooks',
      'select * from pgboss.job',
      'select * from upload_statuses',
      'create table mine ()',
      'delete from ops_audit',
    ])
      await expect(client.query(refused), refused).rejects.toMatchObject({ code: '42501' });
  } finally {
    await client.query('reset role');
    client.release();
  }
});

test('no view shows a secret', async () => {
  await using db = await testDatabase();
  await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index)
    values (gen_random_uuid(), 'somebody', 'https://example.com/hook?key=the-secret', '{}', now(), '1', 0, 0)`.execute(
    db.kysely,
  );
  await sql`insert into tokens (name, role, digest, created_at, created_by)
    values ('somebody', 'ops', decode(repeat('ab', 32), 'hex'), now(), 'the-secret')`.execute(db.kysely);
  await installJobs(db.url);
  for (const view of (await columnsOf(db.pool)).keys()) {
    const { rows } = await db.pool.query(`select to_jsonb(v)::text as told from ${view} v`);
    for (const { told } of rows) expect(told, view).not.toMatch(/the-secret|abababab/);
  }
});

test('the views can be made anew again and again, with and without the tables of the job engine', async () => {
  await using db = await testDatabase();
  expect((await db.pool.query('select * from ops_jobs')).rows).toEqual([]);
  expect((await db.pool.query('select * from ops_job_faults')).rows).toEqual([]);
  await installJobs(db.url);
  await db.pool.query(`insert into pgboss.job (name, data, state, retry_count, output)
    values ('propose', '{"aggregateId":"7"}', 'retry', 3, '{"message":"no answer"}')`);
  expect(await migrate(db.url)).toEqual([]);
  expect((await db.pool.query('select queue, state, jobs::integer from ops_jobs')).rows).toEqual([
    { queue: 'propose', state: 'retry', jobs: 1 },
  ]);
  expect((await db.pool.query('select queue, state, tries, subject, error from ops_job_faults')).rows).toEqual([
    { queue: 'propose', state: 'retry', tries: 3, subject: { aggregateId: '7' }, error: 'no answer' },
  ]);
});
