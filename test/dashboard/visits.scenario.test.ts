import { createHash, randomBytes } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { DB } from '../../src/db/tables.ts';
import { replacePolicy } from '../../src/deals/propose/policy-store.ts';
import { insertProvider } from '../../src/deals/providers/provider-store.ts';
import { insertToken, setRevoked } from '../../src/tokens/token-store.ts';
import { apiFixture, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { findChromium, settled, visit } from './browser.ts';

const executable = findChromium();
const LIMIT_MS = 120_000;
const HOUR_MS = 3_600_000;
/** What the dashboard takes to notice that its line is dead, and to look once more. */
const NOTICED_MS = 15_000;

async function served(options?: Parameters<typeof apiFixture>[0]) {
  const fixture = await apiFixture(options);
  const { url } = await fixture.listen();
  return { fixture, url };
}

async function madeToken({ kysely }: ApiFixture) {
  const text = `lading_${randomBytes(32).toString('base64url')}`;
  const digest = createHash('sha256').update(text).digest();
  const made = { createdAt: new Date('2024-04-01'), createdBy: 'test', expiresAt: undefined };
  return { text, ...(await insertToken(kysely, { name: 'alice', role: 'ops', digest, ...made })) };
}

test.skipIf(executable === undefined)(
  'the first link of a page leads the keyboard past the menu',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    const { page, go } = visitor;
    await go('/dashboard/deals');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('content');
    expect(new URL(page.url()).pathname).toBe('/dashboard/deals');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.closest("main") !== null')).toBe(true);
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'a page that asks for nothing by itself says so too when its token is revoked',
  async () => {
    const { fixture, url } = await served({ server: { recheckMs: 100 } });
    await using _fixture = fixture;
    const { id, text } = await madeToken(fixture);
    await using visitor = await visit(executable ?? '', url, text);
    const { page, go } = visitor;
    await go('/dashboard/no-such-page');
    await page.locator('.live-live').waitFor();
    await setRevoked(fixture.kysely, id, { by: 'test', at: new Date() });
    await page.getByRole('heading', { name: 'Log in' }).waitFor({ timeout: NOTICED_MS });
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'a page says that it hears nothing when the network goes, and goes on when it is back',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    const { page, context } = visitor;
    await page.locator('.live-live').waitFor();
    await context.setOffline(true);
    await page.locator('.live-connecting').waitFor({ timeout: NOTICED_MS });
    await context.setOffline(false);
    await page.locator('.live-live').waitFor({ timeout: NOTICED_MS });
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'what was asked for too often is asked for again by itself',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    const { page } = visitor;
    let asked = 0;
    await page.route('**/providers?*', (route) => {
      asked += 1;
      if (asked > 1) return route.continue();
      return route.fulfill({ status: 429, json: { code: 'RATE_LIMITED', detail: 'too many requests' } });
    });
    // Whose line is dead as well is told of no change that would make it ask.
    await page.route('**/dashboard/live', (route) => route.abort());
    await page.goto('/dashboard/providers');
    await page.getByText('too many requests').waitFor();
    await page.getByText('too many requests').waitFor({ state: 'detached', timeout: NOTICED_MS });
    expect(asked).toBeGreaterThan(1);
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'a browser whose clock is an hour off tells times by the clock of the service',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    for (const off of [HOUR_MS, -HOUR_MS]) {
      await using visitor = await visit(executable ?? '', url);
      const { page } = visitor;
      await page.clock.setFixedTime(Date.now() + off);
      await visitor.logIn(tokens.ops);
      await settled(page);
      expect(await page.locator('.page-note time').first().innerText()).toMatch(/^(now|\d+ s ago)/);
    }
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'labels of a provider are changed on its page, with the reason in the audit',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    const labels = { org: 'Old Org', region: 'eu' };
    await insertProvider(fixture.kysely, { id: 'f01000', manual: undefined, labels, at: new Date('2024-05-01') });
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    const { page, go, complaints } = visitor;
    await go('/dashboard/providers/f01000');
    await page.getByRole('button', { name: 'Change labels' }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.getByLabel('Organization').inputValue()).toBe('Old Org');
    await dialog.getByLabel('Organization').fill('New <b>Org</b>');
    await dialog.getByLabel('Region').fill('');
    await dialog.getByLabel('Reason').fill('it was sold');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByText('New <b>Org</b>').waitFor();
    await page.getByText('it was sold').waitFor();
    const row = await fixture.kysely.selectFrom('providers').select(['org', 'region']).executeTakeFirstOrThrow();
    expect(row).toEqual({ org: 'New <b>Org</b>', region: null });
    expect(complaints).toEqual([]);
  },
  LIMIT_MS,
);

test.skipIf(executable === undefined)(
  'long words without a gap push no column off a page, and markup in them stays text',
  async () => {
    const { fixture, url } = await served();
    await using _fixture = fixture;
    const word = `<img src=x onerror=alert(1)>${'long'.repeat(90)}`;
    await replacePolicy(fixture.kysely, { pairs: ['replicas=2'], by: 'test', at: new Date(), reason: word });
    await seedDeadLetter(fixture.kysely, word);
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    const { page, go, complaints } = visitor;
    for (const path of ['policy', 'audit', 'jobs']) {
      await go(`/dashboard/${path}`);
      await page.getByText(word).first().waitFor();
      const excess = '[...document.querySelectorAll(".table-wrap")].map((one) => one.scrollWidth - one.clientWidth)';
      expect([path, Math.max(...(await page.evaluate<number[]>(excess)))]).toEqual([path, 0]);
    }
    expect(complaints).toEqual([]);
  },
  LIMIT_MS,
);

async function seedDeadLetter(kysely: Kysely<DB>, text: string): Promise<void> {
  const id = '00000000-0000-4000-8000-0000000000aa';
  const place = { xid: '3', position: 1, index: 0 };
  await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index)
    values (${id}, 'alice', ${`https://example.com/${text.slice(28)}`}, '{}', now(), ${place.xid}, ${place.position}, ${place.index})`.execute(
    kysely,
  );
  await sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position, to_index, first_change,
      changes, attempts, error, failing_since, died_at)
    values (${id}, '3', 1, 0, '3', 2, 0, '1-0', 1, 1, ${text}, now(), now())`.execute(kysely);
}
