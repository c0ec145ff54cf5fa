import { describe, expect, it } from 'vitest';
import { beginRange, noteServed } from '../../src/deals/send/transfer-store.ts';
import { apiFixture, bearer, pieceTokens, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';

async function seeded(fixture: ApiFixture) {
  const { car, root } = sampleUpload('manifest', 4);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  const aggregate = await seedAggregate(fixture.kysely, fixture.store, { roots: [root.toString()] });
  const seed = { aggregateId: aggregate.id, state: 'accepted' as const };
  const online = await seedDeal(fixture.kysely, { ...seed, slot: 0, provider: 'f01000' });
  const offline = await seedDeal(fixture.kysely, { ...seed, slot: 1, provider: 'f01001' });
  const over = await seedDeal(fixture.kysely, { ...seed, slot: 2, provider: 'f01002', state: 'failed' });
  await fixture.kysely.updateTable('deals').set({ offline: true }).where('id', 'in', [offline, over]).execute();
  return { aggregate, online, offline };
}

const get = (fixture: ApiFixture, url: string, token: string = tokens.ops) =>
  fixture.server.inject({ url, headers: bearer(token) });

describe('the manifest of offline deals', () => {
  it('lists what its provider has to import, with what fetches the CAR', async () => {
    await using fixture = await apiFixture();
    const { aggregate, offline } = await seeded(fixture);
    const response = await get(fixture, '/deals/manifest');
    expect(response.statusCode).toBe(200);
    expect(response.headers['cache-control']).toBe('no-store');
    const url = `https://lading.example.com/piece/${PIECE_CID}`;
    const authorization = `Bearer ${pieceTokens.tokenFor(offline)}`;
    const entry = {
      dealUuid: offline,
      provider: 'f01001',
      proposalCid: `bafyproposal${offline}`,
      pieceCid: PIECE_CID,
      carSize: aggregate.carBytes,
      startEpoch: 1_631_918,
      url,
      authorization,
    };
    expect(response.json()).toMatchObject([entry]);
    expect((await get(fixture, '/deals/manifest?provider=f01000')).json()).toEqual([]);
    expect((await get(fixture, '/deals/manifest?provider=f01001')).json()).toHaveLength(1);
    const fetched = await fixture.server.inject({ url: `/piece/${PIECE_CID}`, headers: { authorization } });
    expect([fetched.statusCode, fetched.rawPayload.length]).toEqual([200, aggregate.carBytes]);

    const csv = await get(fixture, '/deals/manifest?format=csv');
    expect(csv.headers['content-type']).toBe('text/csv; charset=utf-8');
    const [head, line, end] = csv.body.split('\r\n');
    expect(head).toBe('deal_uuid,provider,proposal_cid,piece_cid,piece_size,car_size,start_epoch,url,authorization');
    expect(line).toMatch(new RegExp(`^${offline},f01001,bafyproposal${offline},${PIECE_CID},\\d+,`));
    expect(line).toContain(`,${url},${authorization}`);
    expect(end).toBe('');
  });

  it('is for operators alone, as tokens are in it', async () => {
    await using fixture = await apiFixture();
    await seeded(fixture);
    for (const token of [tokens.read, tokens.upload]) {
      expect((await get(fixture, '/deals/manifest', token)).statusCode).toBe(403);
    }
  });
});

describe('a deal shows how its delivery goes', () => {
  it('from nothing fetched to all, with the words of its provider', async () => {
    await using fixture = await apiFixture();
    const { online, offline } = await seeded(fixture);
    const before = (await get(fixture, `/deals/${online}`, tokens.read)).json();
    expect(before.delivery).toEqual({
      offline: false,
      calledOff: null,
      saidStatus: null,
      saidAt: null,
      saidPublishMessage: null,
      transfer: null,
    });
    expect((await get(fixture, `/deals/${offline}`)).json().delivery).toMatchObject({ offline: true });
    const at = Date.parse('2024-05-01T00:00:00Z') - 3_600_000;
    await beginRange(fixture.kysely, { dealId: online, range: 0, ranges: 2 }, new Date(at));
    await noteServed(fixture.kysely, online, 50_000_000, new Date(at + 10_000));
    const said = { said_status: 'Accepted', said_at: new Date(at) };
    await fixture.kysely.updateTable('deals').set(said).where('id', '=', online).execute();
    const { delivery } = (await get(fixture, `/deals/${online}`)).json();
    expect(delivery).toMatchObject({
      saidStatus: 'Accepted',
      transfer: { servedBytes: 50_000_000, servedShare: 1, bytesPerSecond: 5_000_000, stalled: false },
    });
  });
});
