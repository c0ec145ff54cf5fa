import { describe, expect, test } from 'vitest';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { emptyRoomBytes } from '../../../src/aggregate/place/placement-rules.ts';
import type { Database } from '../../../src/db/connect.ts';
import { testDatabase } from '../../support/database.ts';
import {
  brokenRows,
  HOUR_MS,
  insertBareUpload,
  never,
  rules,
  setClock,
  START,
  stowDeps,
} from '../aggregate-fixture.ts';

const capacity = (rules.pieceBytes / 128n) * 127n;

async function aggregates({ kysely }: Database) {
  return await kysely.selectFrom('aggregates').selectAll().orderBy('id').execute();
}

async function placements({ kysely }: Database) {
  return await kysely.selectFrom('placements').selectAll().orderBy('aggregate_id').orderBy('seq').execute();
}

function at(hours: number): Date {
  return new Date(START.getTime() + hours * HOUR_MS);
}

describe('stow', () => {
  test('places what waits, oldest first, each right behind the one before', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    const second = await insertBareUpload(db.kysely, 'second', 700, 0.2);
    const first = await insertBareUpload(db.kysely, 'first', 500, 0.1);
    await stow(deps, never);
    expect(await placements(db)).toMatchObject([
      { seq: 0, upload_id: first, offset_bytes: 59n, length_bytes: 500n, selector: null },
      { seq: 1, upload_id: second, offset_bytes: 559n, length_bytes: 700n, selector: null },
    ]);
    expect(await aggregates(db)).toMatchObject([
      { state: 'open', entry_count: 2, length_bytes: 1_259n, capacity_bytes: capacity, oldest_accepted_at: at(0.1) },
    ]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('a repeated wake-up changes nothing', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'one', 500);
    await stow(deps, never);
    const [before, jobs] = [await aggregates(db), await deps.jobs.sent()];
    await stow(deps, never);
    expect(await aggregates(db)).toEqual(before);
    expect(await deps.jobs.sent()).toEqual(jobs);
  });

  test('asks to be woken when age will make the aggregate due, and again when that becomes earlier', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'small', 500, 1);
    await stow(deps, never);
    expect(await deps.jobs.sent()).toEqual([{ queue: 'stow', data: {}, start_after: at(1 + 48) }]);
    await insertBareUpload(db.kysely, 'another', 500, 2);
    await stow(deps, never);
    expect(await deps.jobs.sent()).toHaveLength(1);
    await insertBareUpload(db.kysely, 'large', 33_000, 3);
    await stow(deps, never);
    expect((await deps.jobs.sent()).slice(1)).toEqual([{ queue: 'stow', data: {}, start_after: at(1 + 12) }]);
  });

  test('seals by age at that time, with reason, event and job in one', async () => {
    await using db = await testDatabase();
    const clock = setClock();
    const deps = await stowDeps(db, clock);
    await insertBareUpload(db.kysely, 'large', 33_000);
    await stow(deps, never);
    clock.set(11.999);
    await stow(deps, never);
    expect(await aggregates(db)).toMatchObject([{ state: 'open' }]);
    clock.set(12);
    await stow(deps, never);
    const [aggregate] = await aggregates(db);
    expect(aggregate).toMatchObject({ state: 'sealing', seal_reason: 'age' });
    expect(await deps.jobs.sent()).toContainEqual({
      queue: 'seal',
      data: { aggregateId: String(aggregate?.id) },
      start_after: null,
    });
    const events = await db.kysely
      .selectFrom('events')
      .selectAll()
      .where('aggregate_id', 'is not', null)
      .orderBy('position')
      .execute();
    expect(events.map(({ from_state, to_state, reason_code }) => [from_state, to_state, reason_code])).toEqual([
      [null, 'open', null],
      ['open', 'sealing', 'age'],
    ]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('a wake-up that comes a second early asks for another', async () => {
    await using db = await testDatabase();
    const clock = setClock();
    const deps = await stowDeps(db, clock);
    await insertBareUpload(db.kysely, 'large', 33_000);
    await stow(deps, never);
    clock.set(12 - 1 / 3_600);
    await stow(deps, never);
    expect((await deps.jobs.sent()).slice(1)).toEqual([{ queue: 'stow', data: {}, start_after: at(12) }]);
  });

  test('seals by force what age alone would leave too small', async () => {
    await using db = await testDatabase();
    const clock = setClock();
    const deps = await stowDeps(db, clock);
    await insertBareUpload(db.kysely, 'small', 100);
    await stow(deps, never);
    clock.set(48);
    await stow(deps, never);
    expect(await aggregates(db)).toMatchObject([{ state: 'sealing', seal_reason: 'force_age' }]);
  });

  test('seals a full aggregate when the next upload does not fit, and opens another for it', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    const most = Number(emptyRoomBytes(capacity));
    await insertBareUpload(db.kysely, 'fills it', most - 600, 0.1);
    await insertBareUpload(db.kysely, 'does not fit', 800, 0.2);
    await stow(deps, never);
    expect(await aggregates(db)).toMatchObject([
      { state: 'sealing', seal_reason: 'full', entry_count: 1 },
      { state: 'open', entry_count: 1 },
    ]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('lets a large upload wait while smaller ones fill what is open, and serves it first when a place is free', async () => {
    await using db = await testDatabase();
    const clock = setClock();
    const deps = await stowDeps(db, clock, { openAggregates: 1 });
    await insertBareUpload(db.kysely, 'first', 40_000, 0);
    await insertBareUpload(db.kysely, 'large', 50_000, 1);
    await insertBareUpload(db.kysely, 'small', 2_000, 2);
    await stow(deps, never);
    const waiting = db.kysely.selectFrom('uploads').select('run_bytes').where('state', '=', 'waiting');
    expect(await waiting.execute()).toEqual([{ run_bytes: 50_000n }]);
    clock.set(12);
    await stow(deps, never);
    expect(await aggregates(db)).toMatchObject([
      { state: 'sealing', entry_count: 2 },
      { state: 'open', entry_count: 1, length_bytes: 50_059n, oldest_accepted_at: at(1) },
    ]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('a place that becomes free goes to the oldest that waits, however many come behind it', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db, setClock(), { openAggregates: 1 });
    await insertBareUpload(db.kysely, 'first', 40_000, 0);
    await stow(deps, never);
    const large = await insertBareUpload(db.kysely, 'large', 50_000, 1);
    await insertBareUpload(db.kysely, 'fills it', 22_000, 2);
    await insertBareUpload(db.kysely, 'behind', 20_000, 3);
    await stow(deps, never);
    expect(await aggregates(db)).toMatchObject([
      { state: 'sealing', entry_count: 2 },
      { state: 'open', entry_count: 1 },
    ]);
    expect((await placements(db)).at(-1)).toMatchObject({ upload_id: large });
    expect(await brokenRows(db)).toEqual([]);
  });

  test('the order is that of acceptance: an upload begun early and complete late has no earlier turn', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    const early = await insertBareUpload(db.kysely, 'early', 500, 1);
    const late = await insertBareUpload(db.kysely, 'late', 700, 2);
    await db.kysely
      .updateTable('uploads')
      .set({ created_at: at(0) })
      .where('id', '=', late)
      .execute();
    await stow(deps, never);
    expect((await placements(db)).map(({ upload_id }) => upload_id)).toEqual([early, late]);
  });

  test('leaves an upload that no aggregate can hold waiting, and goes on with the others', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'huge', 70_000, 0);
    await insertBareUpload(db.kysely, 'small', 700, 1);
    await stow(deps, never);
    expect(await placements(db)).toMatchObject([{ length_bytes: 700n }]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('pages through more uploads than it reads at once', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    for (let at_ = 0; at_ < 205; at_++) await insertBareUpload(db.kysely, `n${at_}`, 300, 0);
    await stow(deps, never);
    expect(await placements(db)).toHaveLength(205);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('many processes at once place everything exactly once', async () => {
    await using db = await testDatabase();
    const clock = setClock();
    const deps = await stowDeps(db, clock);
    for (let n = 0; n < 60; n++) await insertBareUpload(db.kysely, `n${n}`, 1_000 + ((n * 7_919) % 20_000), n / 100);
    await Promise.all(Array.from({ length: 4 }, () => stow(deps, never)));
    // How the places fell decides whether some wait for one: age gives them theirs.
    clock.set(48);
    await stow(deps, never);
    const states = await db.kysely.selectFrom('uploads').select('state').distinct().execute();
    expect(states).toEqual([{ state: 'stowed' }]);
    expect(new Set((await placements(db)).map(({ upload_id }) => upload_id)).size).toBe(60);
    expect(await placements(db)).toHaveLength(60);
    const open = (await aggregates(db)).filter(({ state }) => state === 'open');
    expect(open.length).toBeLessThanOrEqual(rules.openAggregates);
    const sealing = (await aggregates(db)).filter(({ state }) => state === 'sealing').map(({ id }) => String(id));
    const jobs = (await deps.jobs.sent()).filter(({ queue }) => queue === 'seal').map(({ data }) => data);
    expect(jobs).toHaveLength(sealing.length);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('nothing of a placement stays when its job cannot be sent', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'one', 500);
    const send = () => Promise.reject(new Error('no connection'));
    await expect(stow({ ...deps, jobs: { send } }, never)).rejects.toThrow('no connection');
    expect(await aggregates(db)).toEqual([]);
    expect(await placements(db)).toEqual([]);
    expect(await brokenRows(db)).toEqual([]);
    await stow(deps, never);
    expect(await placements(db)).toHaveLength(1);
  });

  test('stops when told to', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'one', 500);
    await expect(stow(deps, AbortSignal.abort())).rejects.toThrow();
    expect(await placements(db)).toEqual([]);
  });
});

describe('sealing by an operator', () => {
  test('closes what is open whatever its fill, and wakes what waits for its place', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db);
    await insertBareUpload(db.kysely, 'one', 500);
    await stow(deps, never);
    const id = (await aggregates(db))[0]?.id ?? 0n;
    expect(await sealNow(deps, id)).toEqual({ kind: 'sealing' });
    expect(await aggregates(db)).toMatchObject([{ state: 'sealing', seal_reason: 'operator' }]);
    const queues = (await deps.jobs.sent()).slice(1).map(({ queue, data }) => [queue, data]);
    expect(queues).toEqual([
      ['seal', { aggregateId: String(id) }],
      ['stow', {}],
    ]);
    expect(await sealNow(deps, id)).toEqual({ kind: 'not-open', state: 'sealing' });
    expect(await sealNow(deps, 4_711n)).toEqual({ kind: 'unknown' });
    expect(await brokenRows(db)).toEqual([]);
  });
});
