import { userInfo } from 'node:os';
import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { Command } from '../../src/cli/command.ts';
import { deal } from '../../src/cli/deal.ts';
import { policy } from '../../src/cli/policy.ts';
import { provider } from '../../src/cli/provider.ts';
import { systemClock } from '../../src/clock.ts';
import { beginRange } from '../../src/deals/send/transfer-store.ts';
import { listAudit } from '../../src/deals/audit.ts';
import type { DB } from '../../src/db/tables.ts';
import { setAsk } from '../../src/deals/providers/provider-store.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import { insertSealedAggregate } from '../deals/sealed-aggregate.ts';
import { testDatabase } from '../support/database.ts';
import { seedDeal } from '../support/seed-rows.ts';

const start = new Date('2026-03-01T00:00:00Z');

/** Runs commands on a database of the test's own, as typed at a terminal. */
async function commandLine() {
  const database = await testDatabase();
  // A service that ran before has made the queues.
  await (await startJobs({ url: database.url, clock: systemClock, log: silentLog })).stop();
  const env = { DATABASE_URL: database.url, NETWORK: 'devnet' };
  const { signal } = new AbortController();
  const run = async (command: Command, line: string) => {
    const lines: string[] = [];
    const io = { env, print: (text: string) => lines.push(text), say: () => undefined, isTerminal: false, signal };
    await command.run(line.split(' '), io);
    return lines.join('\n');
  };
  return { kysely: database.kysely, run, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

async function proposeJobs(db: Kysely<DB>): Promise<unknown[]> {
  const { rows } = await sql<{ data: unknown }>`select data from pgboss.job where name = 'propose'`.execute(db);
  return rows.map(({ data }) => data);
}

test('providers are added with labels, shown with their facts, changed and written down', async () => {
  await using line = await commandLine();
  await line.run(provider, 'add f01000 --org acme --region eu');
  const ask = { price: 7n, verifiedPrice: 1n, minPieceBytes: 2n ** 34n, maxPieceBytes: 2n ** 36n, at: start };
  await setAsk(line.kysely, 'f01000', ask);
  await line.run(provider, 'set f01000 --region us --reason moved');
  await line.run(provider, 'pause f01000');
  const shown = await line.run(provider, 'show f01000');
  expect(shown).toMatch(/state\s+paused/);
  expect(shown).toMatch(/org\s+acme/);
  expect(shown).toMatch(/region\s+us/);
  expect(shown).toMatch(/ask\s+7 \(verified 1\) attoFIL per GiB and epoch, 16 GiB to 64 GiB, asked 2026-03-01/);
  expect(JSON.parse(await line.run(provider, 'list --json'))).toMatchObject([{ id: 'f01000', org: 'acme' }]);
  await expect(line.run(provider, 'pause f02')).rejects.toThrow(/no provider f02/);
  await expect(line.run(provider, 'set f01000')).rejects.toThrow(/give an org/);
  const audit = await listAudit(line.kysely, { limit: 10 });
  expect(audit.map(({ action, reason }) => [action, reason])).toEqual([
    ['provider.pause', null],
    ['provider.set', 'moved'],
    ['provider.add', null],
  ]);
  expect(audit[0]?.actor).toBe(`cli:${userInfo().username}`);
});

test('the policy is changed by name, and shown', async () => {
  await using line = await commandLine();
  const said = await line.run(policy, 'set max_per_org=2 deny_providers=t07 renew_before=30d');
  expect(said).toMatch(/max_per_org\s+2/);
  expect(await line.run(policy, 'show')).toBe(said);
  expect(said).toMatch(/deny_providers\s+f07/);
  expect(await listAudit(line.kysely, { limit: 1 })).toMatchObject([{ action: 'policy.set', subject: 'policy' }]);
});

test('a change of the policy wakes the aggregates that are short of deals', async () => {
  await using line = await commandLine();
  const id = await insertSealedAggregate(line.kysely, 1, start);
  await line.run(policy, 'show');
  expect(await proposeJobs(line.kysely)).toEqual([]);
  await line.run(policy, 'set replicas=4');
  expect(await proposeJobs(line.kysely)).toEqual([{ aggregateId: id.toString() }]);
});

test('deals are shown with what was decided, tried again, given up, and listed by their end', async () => {
  await using line = await commandLine();
  const aggregateId = await insertSealedAggregate(line.kysely, 1, start);
  const signed = await seedDeal(line.kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'signed' });
  const active = await seedDeal(line.kysely, { aggregateId, slot: 1, provider: 'f01001', state: 'active' });
  expect(await line.run(deal, `retry ${signed}`)).toContain('signed');
  expect(await line.run(deal, `abandon ${signed} --reason typo`)).toContain('abandoned');
  await expect(line.run(deal, `abandon ${active}`)).rejects.toThrow(/cannot be given up/);
  const at = new Date('2026-03-01T00:00:00Z');
  await line.kysely
    .updateTable('deals')
    .set({ said_status: 'a\u001b[2Jb', said_at: at })
    .where('id', '=', active)
    .execute();
  await beginRange(line.kysely, { dealId: active, range: 0, ranges: 1 }, at);
  expect(await line.run(deal, `show ${active}`)).toMatch(/0 B +1 of 1 +2026-03-01T00:00:00.000Z +2026.* a \[2Jb/);
  expect(await line.run(deal, `show ${signed}`)).toMatch(
    /signed → abandoned.*given up by cli:.*: typo[^]*no choice is kept/,
  );

  await expect(line.run(deal, 'expiring')).rejects.toThrow(/no chain is known/);
  // The deal ends at epoch 3100718, twenty days from now.
  const genesis = Math.floor(Date.now() / 1_000) + 20 * 86_400 - 3_100_718 * 30;
  await line.kysely
    .insertInto('network')
    .values({ name: 'devnet', genesis_seconds: BigInt(genesis), genesis_cid: 'bafygenesis' })
    .execute();
  expect(await line.run(deal, 'expiring')).toContain(active);
  expect(await line.run(deal, 'expiring --within 19d')).toBe('no deal ends within that time');
  for (const odd of ['soon', '99999999999d', '1279d'])
    await expect(line.run(deal, `expiring --within ${odd}`)).rejects.toMatchObject({ code: 'USAGE' });
});
