import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { testDatabase } from '../support/database.ts';

const FOLDER = new URL('../../docs/runbooks/', import.meta.url);

async function readPages(): Promise<{ page: string; text: string }[]> {
  const pages = (await readdir(FOLDER)).filter((name) => name.endsWith('.md'));
  return await Promise.all(pages.map(async (page) => ({ page, text: await readFile(new URL(page, FOLDER), 'utf8') })));
}

test('every query of a runbook can be asked, as the role for operators', async () => {
  await using db = await testDatabase();
  const pages = await readPages();
  const queries = pages.flatMap(({ page, text }) =>
    [...text.matchAll(/(?:`|^ {4})(select [^`\n]+?);?(?:`|$)/gm)].map(([, query = '']) => ({ page, query })),
  );
  expect(queries.length).toBeGreaterThan(10);
  const client = await db.pool.connect();
  try {
    await client.query('set role lading_ops');
    for (const { page, query } of queries)
      await expect(client.query(query), `${page}: ${query}`).resolves.toBeDefined();
  } finally {
    await client.query('reset role');
    client.release();
  }
});

test('links of the runbooks lead somewhere', async () => {
  for (const { page, text } of await readPages())
    for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)\)/g))
      await expect(readFile(new URL(target, FOLDER)), `${page}: ${target}`).resolves.toBeDefined();
});
