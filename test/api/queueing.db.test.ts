import { expect, test } from 'vitest';
import { foldHistory } from '../../src/deals/status/history-fold.ts';
import type { Stage } from '../../src/deals/status/history-of-stages.ts';
import type { Outlook } from '../../src/deals/status/remaining-time.ts';
import type { Refusal } from '../../src/deals/propose/rule-out.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';

const HOUR = 3_600_000;

/** Every stage takes as many hours more as it has letters; of seven letters nothing is known for 95 of 100. */
const outlooks = new Map<Stage, Outlook>(
  (['waiting', 'filling', 'sealing', 'sealed', 'signed', 'accepted', 'published'] as const).map((stage) => [
    stage,
    (elapsedMs, share) => (share > 0.5 && stage.length === 7 ? undefined : elapsedMs + stage.length * HOUR),
  ]),
);

async function upload({ server }: ApiFixture, seed: string): Promise<string> {
  const sample = sampleUpload(seed);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const response = await server.inject({ method: 'POST', url: '/upload', payload: sample.car, headers });
  expect(response.statusCode).toBe(200);
  return sample.root.toString();
}

async function valueOf({ server }: ApiFixture, root: string) {
  const response = await server.inject({ url: `/check/${root}` });
  expect([response.statusCode, response.body]).toEqual([200, expect.any(String)]);
  return response.json().value;
}

async function decide({ kysely }: ApiFixture, aggregateId: bigint, refused: Refusal[]): Promise<void> {
  const at = new Date('2024-05-01T00:00:00Z');
  const choice = { aggregate_id: aggregateId, at, policy_version: 1, chosen: '[]', refused: JSON.stringify(refused) };
  await kysely.insertInto('choices').values(choice).execute();
}

/** Hours from now, by the clock of the fixture, which has not gone on for a minute. */
function hoursAhead(at: string | null): number | null {
  return at === null ? null : Math.round((Date.parse(at) - Date.parse('2024-05-01T00:00:00Z')) / HOUR);
}

function etaHours({ p50, p95 }: { p50: string | null; p95: string | null }) {
  return [hoursAhead(p50), hoursAhead(p95)];
}

const refusal = (provider: string, code: Refusal['code']): Refusal => ({
  provider,
  code,
  reason: 'a word for operators',
});

test('a sealed aggregate says what the last decision wanted for, without the words that are for operators', async () => {
  await using fixture = await apiFixture();
  const root = await upload(fixture, 'why');
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  await decide(fixture, id, [refusal('f01000', 'escrow')]);
  expect((await valueOf(fixture, root)).queueing).toMatchObject({ reason: 'waiting_for_escrow' });
  await decide(fixture, id, [refusal('f01000', 'datacap'), refusal('f01001', 'price'), refusal('f01002', 'price')]);
  expect((await valueOf(fixture, root)).queueing).toMatchObject({ reason: 'waiting_for_datacap' });
  await decide(fixture, id, [refusal('f01001', 'resting'), refusal('f01000', 'price'), refusal('f01002', 'price')]);
  const { queueing } = await valueOf(fixture, root);
  expect(queueing).toMatchObject({
    reason: 'waiting_for_provider',
    why: [
      { code: 'price', providers: 2, text: 'asks for more than the policy pays' },
      { code: 'resting', providers: 1, text: 'rests after a failure, and is asked again' },
    ],
  });
  expect(JSON.stringify(queueing)).not.toContain('operators');
});

test('a decision that found enough, or none yet, gives no reasons', async () => {
  await using fixture = await apiFixture();
  const root = await upload(fixture, 'no reasons');
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  expect((await valueOf(fixture, root)).queueing).not.toHaveProperty('why');
  await decide(fixture, id, []);
  expect((await valueOf(fixture, root)).queueing).not.toHaveProperty('why');
});

test('while the chain cannot be read a sealed aggregate waits for it; a service without one waits for providers', async () => {
  let fault: { since: Date | undefined } | undefined = { since: new Date('2024-05-01T00:00:00Z') };
  const chainView = () => ({ asOf: undefined, degraded: ['no node answers'], ...(fault && { fault }) });
  await using fixture = await apiFixture({ server: { chainView, outlooks: () => outlooks } });
  const root = await upload(fixture, 'chain');
  expect((await valueOf(fixture, root)).queueing).toMatchObject({ reason: 'waiting_for_aggregate' });
  await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  expect(await valueOf(fixture, root)).toMatchObject({
    queueing: { reason: 'waiting_for_chain', etaActive: { p50: null, p95: null } },
    degraded: ['no node answers'],
  });
  for (fault of [{ since: undefined }, undefined])
    expect((await valueOf(fixture, root)).queueing).toMatchObject({ reason: 'waiting_for_provider' });
});

test('an upload has a time from its first moment on, by how far its aggregate has come', async () => {
  await using fixture = await apiFixture({ server: { outlooks: () => outlooks } });
  const { kysely, store } = fixture;
  const roots = await Promise.all(['open', 'sealing', 'sealed', 'waiting'].map((seed) => upload(fixture, seed)));
  const [open = '', sealing = '', sealed = '', waiting = ''] = roots;
  await seedAggregate(kysely, store, { roots: [open], state: 'open' });
  await seedAggregate(kysely, store, { roots: [sealing], state: 'sealing' });
  await seedAggregate(kysely, store, { roots: [sealed], state: 'sealed' });
  const etas = await Promise.all(
    [waiting, open, sealing, sealed].map(async (root) => etaHours((await valueOf(fixture, root)).queueing.etaActive)),
  );
  expect(etas).toEqual([
    [7, null],
    [7, null],
    [7, null],
    [6, 6],
  ]);
});

test('beside deals that are queued stands the time until the first is active; then it is gone', async () => {
  await using fixture = await apiFixture({ server: { outlooks: () => outlooks } });
  const { kysely, store } = fixture;
  const root = await upload(fixture, 'deals');
  const { id } = await seedAggregate(kysely, store, { roots: [root] });
  await seedDeal(kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'signed' });
  const before = await valueOf(fixture, root);
  // The history has not been told of the deal yet: so far it counts as sealed alone.
  expect([before.deals.length, etaHours(before.etaActive)]).toEqual([1, [6, 6]]);
  expect(before).not.toHaveProperty('queueing');

  await seedDeal(kysely, { aggregateId: id, slot: 1, provider: 'f01001', state: 'published' });
  const folded = async () => {
    await foldHistory({ kysely, clock: { now: () => new Date() } });
    return etaHours((await valueOf(fixture, root)).etaActive);
  };
  await expect.poll(folded, { timeout: 10_000 }).toEqual([9, 9]);

  await seedDeal(kysely, { aggregateId: id, slot: 2, provider: 'f01002', state: 'active' });
  expect(await valueOf(fixture, root)).not.toHaveProperty('etaActive');
});

test('an aggregate that was active once, and is stored anew, has no time by the history of first times', async () => {
  await using fixture = await apiFixture({ server: { outlooks: () => outlooks } });
  const { kysely, store } = fixture;
  const root = await upload(fixture, 'anew');
  const { id } = await seedAggregate(kysely, store, { roots: [root], pieceCid: PIECE_CID });
  await seedDeal(kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'expired' });
  await seedDeal(kysely, { aggregateId: id, slot: 1, provider: 'f01001', state: 'signed' });
  const { deals, ...rest } = await valueOf(fixture, root);
  expect(deals).toHaveLength(2);
  expect(rest).not.toHaveProperty('etaActive');
  expect(rest).not.toHaveProperty('queueing');
});

test('a pause of all proposing is told at once: to whoever uploads, checks or lists, and nobody is given a time', async () => {
  await using fixture = await apiFixture({ server: { outlooks: () => outlooks }, groups: true });
  const root = await upload(fixture, 'before the pause');
  const act = (verb: string) =>
    fixture.server.inject({ method: 'POST', url: `/proposing/${verb}`, headers: bearer(tokens.ops) });
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  await decide(fixture, id, [refusal('f01000', 'escrow')]);
  expect((await act('pause')).statusCode).toBe(200);
  const paused = { code: 'proposing_off', providers: 0, text: 'nothing is proposed now: the operator has paused it' };
  const unknown = { p50: null, p95: null };
  expect((await valueOf(fixture, root)).queueing).toMatchObject({
    reason: 'proposing_paused',
    etaActive: unknown,
    why: [paused, { code: 'escrow' }],
  });
  const { car } = sampleUpload('in the pause');
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const answer = (await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers })).json();
  const waiting = { reason: 'waiting_for_aggregate', etaActive: unknown, why: [paused] };
  expect(answer.value.queueing).toMatchObject(waiting);
  const listed = (await fixture.server.inject({ url: '/uploads', headers: bearer(tokens.read) })).json().items;
  expect(listed.map((one: { queueing: { reason: string } }) => one.queueing.reason)).toEqual([
    'waiting_for_aggregate',
    'proposing_paused',
  ]);
  await act('resume');
  const { queueing } = await valueOf(fixture, root);
  expect(queueing).toMatchObject({ reason: 'waiting_for_escrow' });
  expect(queueing.why).toHaveLength(1);
  expect(queueing.etaActive.p50).not.toBeNull();
});
