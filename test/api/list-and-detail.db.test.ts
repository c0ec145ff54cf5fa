import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pieceCidV1 } from '../../src/filecoin/piece.ts';
import type { DealState } from '../../src/db/tables.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { rawBlock } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

const dealStates: DealState[] = [
  'signed',
  'sent',
  'accepted',
  'published',
  'active',
  'rejected',
  'failed',
  'abandoned',
  'missed',
  'expired',
  'slashed',
];

const anUpload = fc.constantFrom('incomplete', 'waiting', 'placed', 'failed', 'removed');
const anAggregate = fc.record({
  state: fc.constantFrom('open', 'sealing', 'sealed'),
  uploads: fc.array(anUpload, { minLength: 1, maxLength: 4 }),
  deals: fc.array(fc.constantFrom(...dealStates), { maxLength: 4 }),
});
const aWorld = fc.array(anAggregate, { minLength: 1, maxLength: 3 });

type Aggregate = ReturnType<typeof anAggregate.generate>['value'];
const MISSING = rawBlock('missing').cid.toString();
let made = 0;

async function makeUpload({ kysely }: ApiFixture, kind: Aggregate['uploads'][number]): Promise<string> {
  made += 1;
  const root = rawBlock(`upload ${made}`).cid.toString();
  const at = new Date(Date.UTC(2024, 0, 1) + made * 1_000);
  const complete = { run_bytes: 100n, dag_bytes: 90n, block_count: 1n };
  const missing = { missing_count: 2n, missing_first: MISSING };
  const as = {
    incomplete: { state: 'incomplete', ...missing },
    waiting: { state: 'waiting', ...complete },
    placed: { state: 'waiting', ...complete },
    failed: { state: 'failed', failure: 'no more parts came', ...missing },
    removed: { state: 'removed' },
  } as const;
  await kysely
    .insertInto('uploads')
    .values({ root, created_at: at, changed_at: at, ...as[kind] })
    .execute();
  return root;
}

async function makeAggregate(fixture: ApiFixture, { state, uploads, deals }: Aggregate): Promise<void> {
  const placed: string[] = [];
  for (const kind of uploads) {
    const root = await makeUpload(fixture, kind);
    if (kind === 'placed') placed.push(root);
  }
  if (placed.length === 0) return;
  made += 1;
  const pieceCid = pieceCidV1(new Uint8Array(32).fill(made % 64, 0, 31).fill(made >> 6, 0, 2)).toString();
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: placed, state, pieceCid });
  if (state !== 'sealed') return;
  for (const [slot, deal] of deals.entries()) {
    const chainDealId = BigInt(made * 10 + slot);
    const changedAt = new Date(Date.UTC(2024, 1, 1) + ((made * 7 + slot * 5) % 11) * 1_000);
    await seedDeal(fixture.kysely, {
      aggregateId: id,
      slot,
      provider: `f0${1_000 + slot}`,
      state: deal,
      chainDealId,
      changedAt,
    });
  }
}

async function get({ server }: ApiFixture, url: string) {
  const response = await server.inject({ url, headers: bearer(tokens.ops) });
  return { status: response.statusCode, body: response.json() };
}

async function itemsOf(fixture: ApiFixture, list: string): Promise<Record<string, unknown>[]> {
  const { body } = await get(fixture, `/${list}?limit=1000`);
  expect(body.next).toBeNull();
  return body.items;
}

/** What stands in both is the same in both. */
function expectAgreement(item: Record<string, unknown>, detail: Record<string, unknown>, at: number): void {
  const shared = Object.keys(item).filter((key) => key in detail);
  expect(shared.length).toBeGreaterThanOrEqual(at);
  for (const key of shared) expect([key, detail[key]]).toEqual([key, item[key]]);
}

async function compareUploads(fixture: ApiFixture): Promise<void> {
  const items = await itemsOf(fixture, 'uploads');
  const many = await fixture.server.inject({
    method: 'POST',
    url: '/check',
    headers: bearer(tokens.upload),
    payload: { cids: items.map(({ cid }) => cid) },
  });
  for (const [at, item] of items.entries()) {
    expect((await get(fixture, `/uploads/${item['cid']}`)).body).toEqual(item);
    const check = await get(fixture, `/check/${item['cid']}`);
    const { state, changed: _changed, owners: _owners, ...status } = item;
    if (state === 'removed') expect(check.status).toBe(404);
    else expect(check.body.value).toEqual(status);
    const { cid } = item;
    expect(many.json().value[at]).toEqual(state === 'removed' ? { cid, error: check.body.error } : status);
  }
}

test('whatever states things are in, a list and its details agree, and so do the checks', async () => {
  // A clock that stands, so that no answer differs by when it was asked.
  await using fixture = await apiFixture({ server: { clock: { now: () => new Date('2024-03-01T00:00:00Z') } } });
  await fc.assert(
    fc.asyncProperty(aWorld, async (world) => {
      for (const aggregate of world) await makeAggregate(fixture, aggregate);
      await compareUploads(fixture);
      for (const deal of await itemsOf(fixture, 'deals')) {
        expectAgreement(deal, (await get(fixture, `/deals/${deal['id']}`)).body, Object.keys(deal).length);
      }
      for (const aggregate of await itemsOf(fixture, 'aggregates')) {
        const { pieceCid } = aggregate;
        if (typeof pieceCid !== 'string') continue;
        expectAgreement(aggregate, (await get(fixture, `/aggregates/${pieceCid}`)).body, 6);
      }
      for (const provider of await itemsOf(fixture, 'providers')) {
        expectAgreement(
          provider,
          (await get(fixture, `/providers/${provider['id']}`)).body,
          Object.keys(provider).length,
        );
      }
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
