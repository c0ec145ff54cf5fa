import { setTimeout as delay } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import { endOwnershipWithin } from '../../src/aggregate/keep/remove-upload.ts';
import { claimUpload } from '../../src/aggregate/receive/upload-store.ts';
import type { DB } from '../../src/db/tables.ts';
import { reconcilePins, wantPinsOnCompletion } from '../../src/pins/pin-wishes.ts';
import { insertRequest, removeRequest } from '../../src/pins/requests/request-store.ts';
import { send } from '../aggregate/receive/receive-fixture.ts';
import { car, sampleUpload } from '../support/car-builder.ts';
import { pinFixture } from './pin-fixture.ts';

const at = new Date('2024-05-01T00:00:00Z');

/** Until the other is done, or waits for a lock. */
async function untilItWaits(kysely: Kysely<DB>, other: Promise<unknown>): Promise<void> {
  let isDone = false;
  void other.finally(() => (isDone = true)).catch(() => undefined);
  for (;;) {
    const { rows } = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(kysely);
    if (isDone || rows.length > 0) return;
    await delay(5);
  }
}

type Fixture = Awaited<ReturnType<typeof pinFixture>>;

/** Sends the upload once more, with `other` beginning as soon as its row is held. */
async function sendBeside(it: Fixture, root: string, other: () => Promise<unknown>): Promise<void> {
  const { kysely, jobs } = it;
  let beside: Promise<unknown> | undefined;
  await kysely.transaction().execute(async (trx) => {
    const upload = await claimUpload(trx, root);
    beside = other();
    await untilItWaits(kysely, beside);
    const { id: owner } = await trx
      .selectFrom('owners')
      .select('id')
      .where('name', '=', 'service')
      .executeTakeFirstOrThrow();
    await trx
      .insertInto('upload_owners')
      .values({ upload_id: upload?.id ?? 0n, owner_id: owner, since: at })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await wantPinsOnCompletion(jobs)(trx, [upload?.id ?? 0n]);
  });
  await beside;
}

async function world() {
  const it = await pinFixture();
  const { root, blocks } = sampleUpload('locks', 3);
  await send(it, car([root], blocks));
  return { it, root: root.toString() };
}

test('an upload that is sent again while its pin is looked at waits for the look, and not the look for it', async () => {
  const { it, root } = await world();
  await using _ = it;
  await it.act();
  await it.pass(1_000);
  await sendBeside(it, root, it.look);
  expect(await it.events()).toEqual([{ reason_code: 'PIN_PINNED', detail: null, to_state: 'waiting' }]);
  expect(await it.pin(root)).toMatchObject({ status: 'pinned', wish: 2 });
});

test('so it is beside the round that wants pins of what has none', async () => {
  const { it, root } = await world();
  await using _ = it;
  await it.kysely.deleteFrom('pins').execute();
  await sendBeside(it, root, () => reconcilePins(it.kysely, { afterId: 0n }, 10));
  expect(await it.pin(root)).toMatchObject({ status: 'queued' });
});

test('so it is beside requests to pin it, and to pin it no more', async () => {
  const { it, root } = await world();
  await using _ = it;
  const { kysely, jobs } = it;
  const id = '6b1c9d0e-8a55-4d0f-9d67-0d8f4a1c7e11';
  const given = { id, cid: root, root, name: undefined, origins: [], meta: undefined, owner: 'service', at };
  const deps = { jobs, onOwned: wantPinsOnCompletion(jobs) };
  await kysely.deleteFrom('upload_owners').execute();
  await sendBeside(it, root, () => kysely.transaction().execute((trx) => insertRequest(trx, deps, given)));
  await kysely.deleteFrom('upload_owners').execute();
  const remove = () => kysely.transaction().execute((trx) => removeRequest(trx, { id, owner: 'service', at }));
  await sendBeside(it, root, remove);
  expect(await kysely.selectFrom('pin_requests').select('state').execute()).toEqual([{ state: 'removed' }]);
});

test('a request does not rely on an upload that is being removed', async () => {
  const { it, root } = await world();
  await using _ = it;
  const { kysely, jobs } = it;
  const given = {
    id: '6b1c9d0e-8a55-4d0f-9d67-0d8f4a1c7e11',
    cid: root,
    root,
    name: undefined,
    origins: [],
    meta: undefined,
  };
  const insert = () =>
    kysely.transaction().execute((trx) => insertRequest(trx, { jobs }, { ...given, owner: 'another', at }));
  let inserted: Promise<void> | undefined;
  await kysely.transaction().execute(async (trx) => {
    expect(await endOwnershipWithin(trx, { root, owner: 'service', at })).toBe('removed');
    inserted = insert();
    await untilItWaits(kysely, inserted);
  });
  await inserted;
  expect(await kysely.selectFrom('pin_requests').select('state').execute()).toEqual([{ state: 'queued' }]);
  expect(jobs.sent).toContainEqual({ queue: 'fetch', data: { root } });
});
