import type { Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { DB } from '../../src/db/tables.ts';
import { dealStates } from '../../src/deals/deal-states.ts';
import { apiFixture, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { cidOf, RAW } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { uploadAll } from '../api/call.ts';
import { findChromium, inspect, readTable, settled, visit, type Visitor } from './browser.ts';

const executable = findChromium();
const ROWS = 10_000;
/** A page of a list holds 50. */
const PAGE_ROWS = 50;
const PAGES_TURNED = 12;
/** A tenth of a second is at once; here two cores are shared with whatever else runs. */
const TURN_MS = 1_500;
const LIMIT_MS = 240_000;
const START = Date.parse('2024-05-01T00:00:00Z');

async function inBatches<T>(rows: readonly T[], act: (some: T[]) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < rows.length; at += 1_000) await act(rows.slice(at, at + 1_000));
}

/** Uploads that lie in one aggregate, the newest last. */
async function seedMany(kysely: Kysely<DB>, aggregateId: bigint): Promise<void> {
  const uploads = Array.from({ length: ROWS }, (_none, at) => ({
    root: cidOf(RAW, Buffer.from(`row ${at}`)).toString(),
    state: 'stowed' as const,
    run_bytes: 100n,
    dag_bytes: BigInt(at),
    block_count: 1n,
    created_at: new Date(START + at * 1_000),
    changed_at: new Date(START + at * 1_000),
  }));
  const ids: bigint[] = [];
  await inBatches(uploads, async (some) => {
    const inserted = await kysely.insertInto('uploads').values(some).returning('id').execute();
    ids.push(...inserted.map(({ id }) => id));
  });
  const placements = ids.map((upload_id, at) => ({
    aggregate_id: aggregateId,
    seq: at + 1,
    upload_id,
    offset_bytes: BigInt(1_000 + at * 100),
    length_bytes: 100n,
  }));
  await inBatches(placements, (some) => kysely.insertInto('placements').values(some).execute());
  await kysely
    .updateTable('aggregates')
    .set({ entry_count: ROWS + 1 })
    .where('id', '=', aggregateId)
    .execute();
}

/** Turns pages, and answers what stood on them, and how long each took to come. */
async function turnPages({ page }: Visitor, label: string, column: string): Promise<{ seen: string[]; ms: number[] }> {
  const seen: string[] = [];
  const ms: number[] = [];
  for (let turned = 0; ; turned += 1) {
    const rows = await readTable(page, label);
    expect(rows.length).toBe(PAGE_ROWS);
    seen.push(...rows.map((row) => row[column] ?? ''));
    if (turned === PAGES_TURNED) return { seen, ms };
    const began = performance.now();
    const next = `${(turned + 1) * PAGE_ROWS + 1}`;
    await page.getByRole('button', { name: 'Next' }).click();
    await page.locator('.pager-place', { hasText: next }).waitFor();
    await settled(page);
    ms.push(performance.now() - began);
  }
}

function middle(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

async function expectSmooth(visitor: Visitor, label: string, column: string): Promise<void> {
  const { seen, ms } = await turnPages(visitor, label, column);
  expect(new Set(seen).size, `${label}: nothing twice`).toBe(seen.length);
  console.log(
    `dashboard: ${label} of ${ROWS}: a page in ${Math.round(middle(ms))} ms, at worst ${Math.round(Math.max(...ms))} ms`,
  );
  expect(middle(ms)).toBeLessThan(TURN_MS);
}

/** Deals in every state, on pieces of their own: a provider keeps a piece once. */
async function seedEveryDeal({ kysely }: ApiFixture, aggregateId: bigint): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (const [slot, state] of dealStates.entries()) {
    const reasonText = `why it is ${state}, in words that are long enough to need more than one line of a narrow page`;
    ids.set(state, await seedDeal(kysely, { aggregateId, slot, provider: `f0${2_000 + slot}`, state, reasonText }));
  }
  return ids;
}

async function seedOddUploads({ kysely }: ApiFixture): Promise<string[]> {
  const at = new Date(START);
  const missing = { missing_count: 3n, missing_first: cidOf(RAW, Buffer.from('missing')).toString() };
  const odd = [
    { state: 'incomplete', ...missing },
    { state: 'failed', failure: 'no more parts came', ...missing },
    { state: 'removed' },
  ] as const;
  const roots: string[] = [];
  for (const given of odd) {
    const root = cidOf(RAW, Buffer.from(`odd ${given.state}`)).toString();
    await kysely
      .insertInto('uploads')
      .values({ root, created_at: at, changed_at: at, ...given })
      .execute();
    roots.push(root);
  }
  return roots;
}

async function inspectAll(visitor: Visitor, pages: Record<string, string>): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, path] of Object.entries(pages)) {
    await visitor.go(path);
    wrong.push(...(await inspect(visitor, name)));
  }
  return wrong;
}

test.skipIf(executable === undefined)(
  'lists of ten thousand rows turn their pages at once',
  { timeout: LIMIT_MS },
  async () => {
    await using fixture = await apiFixture({ server: { publicUrl: 'http://127.0.0.1' } });
    const roots = await uploadAll(fixture, ['first']);
    const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, state: 'open' });
    await seedMany(fixture.kysely, id);
    const { url } = await fixture.listen();
    await using visitor = await visit(executable ?? '', url, tokens.ops);
    await visitor.go('/dashboard/uploads');
    await expectSmooth(visitor, 'Uploads', 'CID');
    await visitor.go(`/dashboard/aggregates/${id}`);
    // However many runs, a map of two boxes a cell of 512, and of the lines that they cross.
    const boxes = await visitor.page.locator('.map rect').count();
    expect(boxes).toBeGreaterThan(10);
    expect(boxes).toBeLessThan(1_100);
    await expectSmooth(visitor, 'Uploads of the aggregate', 'Upload');
    expect(await inspect(visitor, 'aggregate-open')).toEqual([]);
  },
);

test.skipIf(executable === undefined)(
  'every state of deals and uploads has a page that all can use',
  { timeout: LIMIT_MS },
  async () => {
    await using fixture = await apiFixture({ server: { publicUrl: 'http://127.0.0.1' } });
    const roots = await uploadAll(fixture, ['stored']);
    const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots });
    const deals = await seedEveryDeal(fixture, id);
    const odd = await seedOddUploads(fixture);
    const { url } = await fixture.listen();
    await using visitor = await visit(executable ?? '', url, tokens.read);
    const uploads = Object.fromEntries(odd.map((root, at) => [`upload-odd-${at}`, `/dashboard/uploads/${root}`]));
    const wrong = await inspectAll(visitor, {
      'deals-of-every-state': '/dashboard/deals',
      'deal-rejected': `/dashboard/deals/${deals.get('rejected')}`,
      'deal-slashed': `/dashboard/deals/${deals.get('slashed')}`,
      'provider-unresolved': '/dashboard/providers/f02000',
      ...uploads,
    });
    expect(wrong).toEqual([]);
    await visitor.go('/dashboard/deals?state=slashed');
    expect(await readTable(visitor.page, 'Deals')).toMatchObject([
      { Deal: deals.get('slashed')?.slice(0, 8), State: 'slashed' },
    ]);
    await visitor.go('/dashboard/uploads?state=failed');
    expect(await readTable(visitor.page, 'Uploads')).toMatchObject([
      { 'Pin Status': 'Failed', Size: expect.anything() },
    ]);
    // A token of role read is shown nothing that it may not do.
    await visitor.go('/dashboard/providers/f02000');
    expect(await visitor.page.getByRole('button', { name: /Pause|Remove/ }).count()).toBe(0);
  },
);
