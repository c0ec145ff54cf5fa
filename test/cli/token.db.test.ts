import { createHash, randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import { expect, test } from 'vitest';
import { serviceClient } from '../../src/cli/service-client.ts';
import { token } from '../../src/cli/token.ts';
import { listAudit } from '../../src/deals/audit.ts';
import { insertWebhook } from '../../src/events/webhook-store.ts';
import { testDatabase } from '../support/database.ts';

/** `lading token …` on a database of the test's own. */
async function commandLine() {
  const database = await testDatabase();
  const env = { DATABASE_URL: database.url, API_TOKENS: 'service:upload:upload-token-1' };
  const { signal } = new AbortController();
  const run = async (...words: string[]) => {
    const printed: string[] = [];
    const said: string[] = [];
    const io = {
      env,
      print: (line: string) => printed.push(line),
      say: (line: string) => said.push(line),
      isTerminal: false,
      signal,
    };
    await token.run(words, io);
    return { printed: printed.join('\n'), said: said.join('\n') };
  };
  const { kysely } = database;
  return { kysely, run, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

test('a token is made, printed alone, listed and revoked by name; each is written down', async () => {
  await using line = await commandLine();
  const made = await line.run('create', 'mover', '--role', 'upload', '--expires', '90d', '--reason', 'new house');
  expect(made.printed).toMatch(/^lading_[A-Za-z0-9_-]{43}$/);
  expect(made.said).toContain('not shown again');
  const row = await line.kysely.selectFrom('tokens').selectAll().executeTakeFirstOrThrow();
  expect(row.digest).toEqual(createHash('sha256').update(made.printed).digest());
  const daysLeft = ((row.expires_at?.getTime() ?? 0) - Date.now()) / 86_400_000;
  expect(daysLeft).toBeGreaterThan(89.9);
  expect(daysLeft).toBeLessThan(90.1);
  const listed = await line.run('list');
  expect(listed.printed).toMatch(
    /^id\s+name\s+role\s+state\s+created\s+by\s+expires\s+last used\n1\s+mover\s+upload\s+active/,
  );
  expect(listed.printed).not.toContain(made.printed);
  expect((await line.run('revoke', 'mover')).printed).toContain('token mover (1) is revoked');
  expect((await line.run('list')).printed).toMatch(/^no tokens/);
  expect(JSON.parse((await line.run('list', '--all', '--json')).printed)).toMatchObject([
    { id: '1', name: 'mover', role: 'upload', state: 'revoked', lastUsed: null },
  ]);
  const audit = await listAudit(line.kysely, { limit: 10 });
  const actor = `cli:${userInfo().username}`;
  expect(audit).toMatchObject([
    { actor, action: 'token.revoke', subject: 'token mover', reason: null },
    { actor, action: 'token.create', subject: 'token mover', reason: 'new house' },
  ]);
});

test('for scripts there is JSON, with the token in it', async () => {
  await using line = await commandLine();
  const { printed } = await line.run('create', 'wall', '--role', 'read', '--expires', '2099-01-31', '--json');
  expect(JSON.parse(printed)).toMatchObject({
    id: '1',
    name: 'wall',
    role: 'read',
    state: 'active',
    expires: '2099-01-31T00:00:00.000Z',
    token: expect.stringMatching(/^lading_/),
  });
  expect(JSON.parse((await line.run('revoke', '1', '--json')).printed)).toMatchObject({ id: '1', state: 'revoked' });
});

test('who revokes a token is told of webhooks that its name leaves behind', async () => {
  await using line = await commandLine();
  await line.run('create', 'mover', '--role', 'upload');
  const after = { xid: '0', position: 0n, index: 0 };
  const hook = { id: randomUUID(), owner: 'mover', url: 'https://example.com/', filter: {}, at: new Date(), after };
  await insertWebhook(line.kysely, hook);
  expect((await line.run('revoke', 'mover')).said).toContain('1 webhooks of mover go on');
});

test('what is wrong is said', async () => {
  await using line = await commandLine();
  await expect(line.run('create', 'a')).rejects.toThrow(/give --role upload, or ops, or read/);
  await expect(line.run('create', 'a', '--role', 'root')).rejects.toThrow(/give --role/);
  await expect(line.run('create', 'a', '--role', 'ops', '--expires', 'soon')).rejects.toThrow(/--expires 'soon'/);
  await expect(line.run('create', 'a', '--role', 'ops', '--expires', '2020-01-01')).rejects.toThrow(/still to come/);
  for (const odd of ['2030-02-31', '2030-01-31T25:00:00Z', '2030'])
    await expect(line.run('create', 'a', '--role', 'ops', '--expires', odd)).rejects.toThrow(`--expires '${odd}'`);
  for (const far of ['90000000d', '4000000d'])
    await expect(line.run('create', 'a', '--role', 'ops', '--expires', far)).rejects.toThrow(/before the year 10000/);
  await expect(line.run('create', 'service', '--role', 'ops')).rejects.toThrow(/API_TOKENS/);
  await expect(line.run('create', 'a b', '--role', 'ops')).rejects.toThrow(/name: give/);
  await expect(line.run('revoke', 'nobody')).rejects.toThrow(/no token 'nobody'/);
  await expect(line.run('revoke', '7')).rejects.toThrow(/no token 7/);
  await expect(line.run('burn')).rejects.toThrow(/usage/);
  await expect(line.run('create')).rejects.toThrow(/missing NAME/);
});

test('an empty token is told as empty, and never sent', () => {
  const env = { API_TOKENS: 'service:upload:upload-token-1' };
  const codeOf = (given: { token?: string }, more: Record<string, string>) => {
    try {
      return serviceClient(given, { ...env, ...more }, 'upload').token;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  expect(codeOf({}, { LADING_TOKEN: '' })).toBe('LADING_TOKEN is set, but empty: give a token, or leave it out');
  expect(codeOf({}, { LADING_TOKEN: ' ' })).toContain('LADING_TOKEN is set, but empty');
  expect(codeOf({ token: '' }, {})).toContain('--token is set, but empty');
  expect(codeOf({ token: 'mine' }, {})).toBe('mine');
  expect(codeOf({}, {})).toBe('upload-token-1');
});
