import { describe, expect, test } from 'vitest';
import { endOwnership } from '../../src/aggregate/keep/remove-upload.ts';
import { silentLog } from '../../src/log/log.ts';
import { apiFixture, bearer, steppingClock, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { car, sampleUpload, type Block } from '../support/car-builder.ts';
import { sealedUploads } from '../support/sealed-uploads.ts';

const CAR = 'application/car';

async function send(fixture: ApiFixture, payload: Uint8Array, token: string = tokens.upload) {
  const headers = { ...bearer(token), 'content-type': CAR };
  return fixture.server.inject({ method: 'POST', url: '/upload', payload: Buffer.from(payload), headers });
}

async function remove(fixture: ApiFixture, path: string, token: string = tokens.upload) {
  return fixture.server.inject({ method: 'DELETE', url: path, headers: bearer(token) });
}

async function check(fixture: ApiFixture, root: unknown): Promise<number> {
  return (await fixture.server.inject(`/check/${root}`)).statusCode;
}

async function eventsOf({ kysely }: ApiFixture): Promise<string[]> {
  const rows = await kysely.selectFrom('events').selectAll().orderBy('position').execute();
  return rows.map(({ from_state, to_state, reason_code }) => `${from_state} ${to_state} ${reason_code}`);
}

/** Two parts as the client makes them: each with the root, and each with blocks that the other has not. */
function halves(root: { toString(): string }, blocks: readonly Block[]): { first: Block[]; second: Block[] } {
  const rootBlock = blocks.filter(({ cid }) => cid.toString() === root.toString());
  const others = blocks.filter(({ cid }) => cid.toString() !== root.toString());
  return { first: [...rootBlock, ...others.slice(0, 3)], second: [...rootBlock, ...others.slice(3)] };
}

async function countRows({ kysely }: ApiFixture, table: 'parts' | 'cuts' | 'part_blocks' | 'wanted_blocks') {
  return (await kysely.selectFrom(table).select('upload_id').execute()).length;
}

describe('DELETE /{cid}', () => {
  test('removes a waiting upload, as the nft.storage client expects, and only once', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('waiting', 3);
    await send(fixture, car([root], blocks));
    const answer = await remove(fixture, `/${root}/`);
    expect([answer.statusCode, answer.json()]).toEqual([202, { ok: true, value: null }]);
    expect(await check(fixture, root)).toBe(404);
    expect(await countRows(fixture, 'parts')).toBe(0);
    expect(await eventsOf(fixture)).toEqual([
      'null waiting null',
      'waiting waiting OWNER_LEFT',
      'waiting removed NO_OWNER',
    ]);
    const again = await remove(fixture, `/${root}`);
    expect([again.statusCode, again.json()]).toEqual([
      404,
      { ok: false, error: { code: 'HTTP_ERROR', message: 'NFT not found' } },
    ]);
  });

  test('is for the owners of an upload alone, and says what is wrong with a CID', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('owned', 3);
    await send(fixture, car([root], blocks));
    expect((await remove(fixture, `/${root}`, tokens.upload2)).statusCode).toBe(404);
    expect((await remove(fixture, `/${root}`, tokens.read)).statusCode).toBe(403);
    expect((await remove(fixture, '/nothing')).json()).toMatchObject({ error: { code: 'ERROR_INVALID_CID' } });
    expect(await check(fixture, root)).toBe(200);
  });

  test('an upload that somebody else owns too stays, until the last owner leaves', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('shared', 3);
    await send(fixture, car([root], blocks));
    await send(fixture, car([root], blocks), tokens.upload2);
    expect((await remove(fixture, `/${root}`)).statusCode).toBe(202);
    expect(await check(fixture, root)).toBe(200);
    expect((await remove(fixture, `/${root}`, tokens.upload2)).statusCode).toBe(202);
    expect(await check(fixture, root)).toBe(404);
  });

  test('what lies in an aggregate stays there', async () => {
    await using fixture = await apiFixture();
    const sample = sampleUpload('placed', 3);
    await sealedUploads(fixture, [sample]);
    expect((await remove(fixture, `/${sample.root}`)).statusCode).toBe(202);
    expect(await check(fixture, sample.root)).toBe(200);
    expect(await countRows(fixture, 'parts')).toBe(1);
  });

  test('a removed upload is healed by the same CAR', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('back', 3);
    await send(fixture, car([root], blocks));
    await remove(fixture, `/${root}`);
    expect((await send(fixture, car([root], blocks))).statusCode).toBe(200);
    expect(await check(fixture, root)).toBe(200);
    expect((await eventsOf(fixture)).at(-1)).toBe('removed waiting null');
    expect(await countRows(fixture, 'parts')).toBe(1);
  });

  test('a removed upload that came in parts is whole only once all of its parts came again', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('parts', 6);
    const { first, second } = halves(root, blocks);
    await send(fixture, car([root], first));
    expect(await countRows(fixture, 'part_blocks')).toBeGreaterThan(0);
    await remove(fixture, `/${root}`);
    expect(await check(fixture, root)).toBe(404);
    const healed = await send(fixture, car([root], second));
    expect(healed.json()).toMatchObject({ value: { queueing: { reason: 'incomplete' } } });
    const whole = await send(fixture, car([root], first));
    expect(whole.json()).toMatchObject({ value: { queueing: { reason: 'waiting_for_aggregate' } } });
    const { sum } = await fixture.kysely
      .selectFrom('parts')
      .select((eb) => eb.fn.sum<bigint>('block_count').as('sum'))
      .executeTakeFirstOrThrow();
    expect(Number(sum)).toBe(blocks.length);
  });

  test('a last owner that leaves and a part that comes at the same time end one after the other', async () => {
    await using fixture = await apiFixture();
    const { root, blocks } = sampleUpload('race', 8);
    const { first, second } = halves(root, blocks);
    const deps = { kysely: fixture.kysely, clock: steppingClock(), log: silentLog };
    await send(fixture, car([root], first));
    const rounds = [0, 1, 2, 3, 4, 5];
    for (const round of rounds) {
      const part = round % 2 === 0 ? second : first;
      await Promise.all([
        send(fixture, car([root], part)),
        endOwnership(deps, { root: root.toString(), owner: 'service' }),
      ]);
    }
    // Whatever came first each time: a whole CAR makes it whole, with each block once.
    expect((await send(fixture, car([root], blocks))).statusCode).toBe(200);
    const row = await fixture.kysely.selectFrom('uploads').selectAll().executeTakeFirstOrThrow();
    const parts = await fixture.kysely.selectFrom('parts').selectAll().execute();
    expect(row.state).toBe('waiting');
    expect(parts.reduce((sum, { block_count }) => sum + Number(block_count), 0)).toBe(Number(row.block_count));
  });
});
