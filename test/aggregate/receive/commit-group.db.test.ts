import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { sweepOrphans } from '../../../src/aggregate/keep/sweep-orphans.ts';
import { receiveCar, type ReceiveInput } from '../../../src/aggregate/receive/receive.ts';
import { systemClock } from '../../../src/clock.ts';
import { apiFixture, bearer, countRows, noRows, tokens, type ApiFixture } from '../../support/api-fixture.ts';
import { car, pbNode, rawBlock, sampleUpload, sections } from '../../support/car-builder.ts';
import { gather } from '../../support/gather.ts';
import { filesBelow } from '../../support/temporary-folder.ts';
import { FaultPlan, faultyStore } from './faulty-store.ts';

interface Sample {
  root: { toString(): string };
  car: Buffer;
  run: Buffer;
}

function send(fixture: ApiFixture, bytes: Uint8Array, change: Partial<ReceiveInput> = {}) {
  async function* body() {
    yield bytes;
  }
  const input = { body: body(), owner: 'service', signal: new AbortController().signal, ...change };
  return receiveCar(fixture.receive, input);
}

function samples(name: string, count: number): Sample[] {
  return Array.from({ length: count }, (_, at) => sampleUpload(`${name} ${at}`, 3));
}

/** Larger than what is gathered in memory. */
function largeSample(name: string): Sample {
  const leaves = [0, 1, 2].map((at) => rawBlock(Buffer.alloc(600_000, `${name} ${at} `)));
  const top = pbNode(leaves);
  return { root: top.cid, car: car([top.cid], [top, ...leaves]), run: sections([top, ...leaves]) };
}

async function partsOf({ kysely }: ApiFixture, root: string) {
  const query = kysely.selectFrom('parts as p').innerJoin('uploads as u', 'u.id', 'p.upload_id').selectAll('p');
  return query.where('u.root', '=', root).orderBy('run_seq').execute();
}

async function storedRun(fixture: ApiFixture, root: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (const { object_key: key, object_offset: offset, length_bytes: length } of await partsOf(fixture, root)) {
    chunks.push(...(await gather(fixture.store.read(key, Number(offset), Number(length)))));
  }
  return Buffer.concat(chunks);
}

async function sweep({ kysely, store }: ApiFixture): Promise<void> {
  const clock = { now: () => new Date(systemClock.now().getTime() + 1_000) };
  await sweepOrphans({ kysely, store, clock }, { graceMs: 0, pauseMs: 0 });
}

/** Everything in the store is named by a part, and nothing is half written. */
async function expectClean(fixture: ApiFixture): Promise<void> {
  await fixture.receive.groups?.idle();
  await sweep(fixture);
  await fixture.store.sweepStaging(0);
  const named = await fixture.kysely.selectFrom('parts').select('object_key').distinct().execute();
  const kept = (await gather(fixture.store.list())).map(({ key }) => key);
  expect(kept.toSorted()).toEqual(named.map((row) => row.object_key).toSorted());
  expect(await filesBelow(fixture.folder)).toHaveLength(kept.length);
}

test('small uploads that come together share an object, a transaction and a job', async () => {
  await using fixture = await apiFixture({ groups: true });
  const all = samples('together', 20);
  const received = await Promise.all(all.map((one) => send(fixture, one.car)));
  expect(await countRows(fixture)).toEqual({ uploads: 20, upload_owners: 20, owners: 1, parts: 20, events: 20 });
  const files = await filesBelow(fixture.folder);
  expect(files.length).toBeLessThan(20);
  expect(fixture.jobs.sent).toHaveLength(files.length);
  for (const { root, run } of all) expect(await storedRun(fixture, root.toString())).toEqual(run);
  const positions = received.map(({ fresh }) => fresh?.position ?? 0);
  expect(positions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  const rows = await fixture.kysely.selectFrom('uploads').select(['id', 'root', 'state']).execute();
  expect(new Map(rows.map(({ root, id }) => [root, id]))).toEqual(
    new Map(received.map(({ root, uploadId }) => [root, uploadId])),
  );
  expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['waiting']));
});

test('an upload that grows beyond the limit has an object of its own', async () => {
  await using fixture = await apiFixture({ groups: true });
  const large = largeSample('large');
  await send(fixture, large.car);
  expect(await storedRun(fixture, large.root.toString())).toEqual(large.run);
  expect(await partsOf(fixture, large.root.toString())).toMatchObject([
    { object_key: expect.stringMatching(/^runs\/[0-9a-f-]{36}$/), object_offset: 0n },
  ]);
});

test('known roots, twins, parts and removed uploads in one group are settled as by themselves', async () => {
  await using fixture = await apiFixture({ groups: true });
  const known = sampleUpload('known', 3);
  const removed = sampleUpload('removed', 3);
  await Promise.all([send(fixture, known.car), send(fixture, removed.car)]);
  await sql`update uploads set state = 'removed', run_bytes = null, dag_bytes = null, block_count = null
    where root = ${removed.root.toString()}`.execute(fixture.kysely);
  await sql`delete from parts where upload_id in (select id from uploads where state = 'removed')`.execute(
    fixture.kysely,
  );
  const twin = sampleUpload('twin', 3);
  const parted = sampleUpload('parted', 4);
  const fresh = sampleUpload('fresh', 3);
  const cars = [
    known.car,
    removed.car,
    twin.car,
    twin.car,
    car([parted.root], parted.blocks.slice(0, 3)),
    fresh.car,
    car([parted.root], [...parted.blocks.slice(0, 1), ...parted.blocks.slice(3)]),
  ];
  const received = await Promise.all(cars.map((bytes) => send(fixture, bytes, { owner: 'other' })));
  expect(received[2]?.uploadId).toBe(received[3]?.uploadId);
  for (const { root, run } of [known, removed, twin, fresh]) {
    expect(await storedRun(fixture, root.toString())).toEqual(run);
  }
  const whole = await storedRun(fixture, parted.root.toString());
  expect(whole.length).toBe(parted.run.length);
  const states = await fixture.kysely.selectFrom('uploads').select('state').execute();
  expect(states.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting', 'waiting', 'waiting']);
  await expectClean(fixture);
});

test('one that the database refuses does not harm its neighbours', async () => {
  await using fixture = await apiFixture({ groups: true });
  const all = samples('neighbour', 5);
  const bad = all[2]?.root.toString();
  await sql`create function refuse() returns trigger language plpgsql as
    $$ begin if new.root = tg_argv[0] then raise exception 'refused'; end if; return new; end $$`.execute(
    fixture.kysely,
  );
  await sql`create trigger refuse before insert on uploads for each row execute function refuse(${sql.lit(bad)})`.execute(
    fixture.kysely,
  );
  const outcomes = await Promise.allSettled(all.map((one) => send(fixture, one.car)));
  expect(outcomes.map(({ status }) => status)).toEqual(
    all.map(({ root }) => (root.toString() === bad ? 'rejected' : 'fulfilled')),
  );
  for (const { root, run } of all) {
    if (root.toString() !== bad) expect(await storedRun(fixture, root.toString())).toEqual(run);
  }
  await expectClean(fixture);
});

test('who is gone before the group is written leaves nothing', async () => {
  await using fixture = await apiFixture({ groups: true });
  const gone = new AbortController();
  const sending = send(fixture, sampleUpload('gone', 3).car, { signal: gone.signal });
  const groups = fixture.receive.groups;
  if (groups === undefined) throw new Error('the fixture has groups');
  const { add } = groups;
  groups.add = (upload) => {
    const settled = add.call(groups, upload);
    gone.abort(new Error('the client went away'));
    return settled;
  };
  await expect(sending).rejects.toThrow('went away');
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
});

test('the answer of a fresh upload is what the database says of it', async () => {
  await using fixture = await apiFixture({ groups: true });
  const { root, car: payload } = sampleUpload('answer', 3);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/vnd.ipld.car' };
  const answer = await fixture.server.inject({ method: 'POST', url: '/upload', headers, payload });
  const check = await fixture.server.inject({ method: 'GET', url: `/check/${root}` });
  const { size: _size, created: _created, ...told } = answer.json<{ value: Record<string, unknown> }>().value;
  expect(told).toEqual(check.json<{ value: unknown }>().value);
});

const faults = (['stage', 'write', 'commit', 'remove'] as const).flatMap((step) =>
  [false, true].map((after) => ({ step, after })),
);

test.each([true, false])('a store that fails at any step loses nothing acknowledged (groups: %s)', async (groups) => {
  const plan = new FaultPlan();
  await using fixture = await apiFixture({ groups, store: (store) => faultyStore(store, plan) });
  let failed = 0;
  for (const { step, after } of faults) {
    for (let nth = 1; nth <= 8; nth += 1) {
      plan.arm(step, nth, { after, code: nth % 2 === 0 ? 'ENOSPC' : 'EIO' });
      const name = `${step} ${after} ${nth}`;
      const all = [...samples(name, 4), ...(nth === 1 ? [largeSample(name)] : [])];
      const twice = [...all, ...all.slice(0, 1)];
      const outcomes = await Promise.allSettled(twice.map((one) => send(fixture, one.car)));
      for (const [at, { status }] of outcomes.entries()) {
        const { root, run } = twice[at] ?? sampleUpload(name);
        if (status === 'fulfilled') expect(await storedRun(fixture, root.toString())).toEqual(run);
        else failed += 1;
      }
      if (plan.disarm()) break;
    }
  }
  expect(failed).toBeGreaterThan(8);
  await expectClean(fixture);
});
