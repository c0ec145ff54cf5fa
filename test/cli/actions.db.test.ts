import { userInfo } from 'node:os';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { Command } from '../../src/cli/command.ts';
import { deadLetter } from '../../src/cli/dead-letter.ts';
import { job } from '../../src/cli/job.ts';
import { proposing } from '../../src/cli/proposing.ts';
import { listAudit } from '../../src/deals/audit.ts';
import { insertWebhook } from '../../src/events/webhook-store.ts';
import { insertSealedAggregate } from '../deals/sealed-aggregate.ts';
import { testDatabase } from '../support/database.ts';

const AT = new Date('2026-03-01T00:00:00Z');
const WEBHOOK = '11111111-1111-4111-8111-111111111111';

async function commandLine() {
  const database = await testDatabase();
  const { signal } = new AbortController();
  const run = async (command: Command, args: string[]) => {
    const lines: string[] = [];
    const env = { DATABASE_URL: database.url, NETWORK: 'devnet' };
    const io = { env, print: (text: string) => lines.push(text), say: () => undefined, isTerminal: false, signal };
    await command.run(args, io);
    return lines.join('\n');
  };
  return { kysely: database.kysely, run, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

test('proposing is paused and resumed as a whole, which wakes what waited; who and why is written down', async () => {
  await using line = await commandLine();
  const id = await insertSealedAggregate(line.kysely, 1, AT);
  expect(await line.run(proposing, ['show'])).toMatch(/^deals are proposed, since /);
  const paused = await line.run(proposing, ['pause', '--reason', 'a bad\u001b[31m node']);
  const actor = `cli:${userInfo().username}`;
  expect(paused).toContain(`by ${actor}: a bad [31m node`);
  expect(paused).toMatch(/^nothing new is proposed, and deals in flight go on, since /);
  const waiting = sql<{ data: unknown }>`select data from pgboss.job where name = 'propose'`;
  expect((await waiting.execute(line.kysely)).rows).toEqual([]);
  expect(JSON.parse(await line.run(proposing, ['resume', '--json']))).toMatchObject({ proposing: true, by: actor });
  expect((await waiting.execute(line.kysely)).rows).toEqual([{ data: { aggregateId: id.toString() } }]);
  expect(await listAudit(line.kysely, { limit: 9 })).toMatchObject([
    { actor, action: 'proposing.resume', reason: null },
    { actor, action: 'proposing.pause', reason: 'a bad [31m node' },
  ]);
  await expect(line.run(proposing, ['stop'])).rejects.toThrow(/usage: lading proposing/);
});

test('jobs that failed are shown with why, and tried again', async () => {
  await using line = await commandLine();
  expect(await line.run(job, ['troubled'])).toBe('no job failed when it was last tried');
  await sql`insert into pgboss.job (name, data, state, start_after, started_on, retry_count, retry_limit, output) values
    ('send', '{"dealId":"d2"}', 'retry', now() + interval '1 hour', now(), 4, 9, '{"message":"no route"}')`.execute(
    line.kysely,
  );
  expect(await line.run(job, ['list'])).toMatch(/^send +0 +0 +1 +0 +0/m);
  const [found] = JSON.parse(await line.run(job, ['troubled', '--queue', 'send', '--json']));
  expect(found).toMatchObject({ queue: 'send', error: 'no route', tries: 5 });
  expect(await line.run(job, ['troubled'])).toContain('{"dealId":"d2"}');
  await expect(line.run(job, ['troubled', '--queue', 'sent'])).rejects.toThrow(/there is no queue 'sent': stow/);
  await expect(line.run(job, ['redrive', '7'])).rejects.toThrow(/'7' is not the id of a job/);
  await expect(line.run(job, ['redrive', WEBHOOK])).rejects.toThrow(/no job with these ids/);
  expect(await line.run(job, ['redrive', found.id, '--reason', 'mended'])).toBe('1 jobs are tried again now');
  expect(await listAudit(line.kysely, { limit: 9 })).toMatchObject([
    { action: 'job.redrive', reason: 'mended', detail: { redriven: 1, jobs: [found.id] } },
  ]);
});

test('dead letters are shown with where they went, and tried once more', async () => {
  await using line = await commandLine();
  expect(await line.run(deadLetter, ['list'])).toBe('no call of a webhook was given up');
  const after = { xid: '0', position: 0n, index: 0 };
  const url = 'https://a.example.com/hook';
  await insertWebhook(line.kysely, { id: WEBHOOK, owner: 'service', url, filter: {}, at: AT, after });
  await sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position,
    to_index, first_change, changes, attempts, error, failing_since, died_at) values
    (${WEBHOOK}::uuid, '1', 1, 0, '1', 2, 0, '1.0', 2, 40, 'answered 500', ${AT}, ${AT})`.execute(line.kysely);
  expect(await line.run(deadLetter, ['list', '--webhook', WEBHOOK])).toMatch(
    /service +https:\/\/a\.example\.com\/hook +2 +40 +2026-03-01T00:00:00\.000Z +answered 500/,
  );
  const [letter] = JSON.parse(await line.run(deadLetter, ['list', '--json']));
  await expect(line.run(deadLetter, ['redrive', '9999'])).rejects.toThrow(/no dead letters with these ids/);
  await expect(line.run(deadLetter, ['redrive', 'x'])).rejects.toThrow(/'x' is not the id of a dead letter/);
  expect(await line.run(deadLetter, ['redrive', String(letter.id)])).toBe('1 dead letters are tried once more');
  expect(await line.run(deadLetter, ['list'])).toContain('is tried once more; answered 500');
  expect(await listAudit(line.kysely, { limit: 9 })).toMatchObject([
    { action: 'webhook.redrive', subject: 'webhooks', detail: { redriven: 1, ids: [String(letter.id)] } },
  ]);
});
