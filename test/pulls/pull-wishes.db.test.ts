import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { askForPull, listWaitingPulls } from '../../src/pulls/pull-store.ts';
import { sweepSpools } from '../../src/pulls/spool.ts';
import { tokens } from '../support/api-fixture.ts';
import { halted, someCar, world, type Shown } from './pull-world.ts';

describe('who asks', () => {
  test('asks once, however often; another root is another wish', async () => {
    await using one = await world();
    const url = 'http://93.184.216.34/a.car';
    const id = await one.ask(url);
    expect(await one.ask(url)).toBe(id);
    expect(one.fixture.jobs.sent).toHaveLength(1);
    const cid = someCar(1).root;
    expect(await one.call('POST', '/uploads', tokens.upload, { url, cid })).toMatchObject({
      status: 409,
      json: { code: 'CONFLICT' },
    });
    expect((await one.call('POST', '/uploads', tokens.upload, { url, cid: 'nonsense' })).json.code).toBe('INVALID_CID');
    expect((await one.call('POST', '/uploads', tokens.upload2, { url })).json.id).not.toBe(id);
  });

  test('has so many waiting at most', async () => {
    await using one = await world();
    const { kysely: db, jobs } = one.fixture;
    const ask = (at: number, owner = 'service') =>
      askForPull({ db, jobs }, { owner, url: `https://example.com/${at}`, wantedRoot: undefined }, 2);
    expect(await Promise.all([ask(1), ask(1), ask(2)])).not.toContain(undefined);
    expect(await ask(3)).toBeUndefined();
    expect(await ask(3, 'other')).toBeDefined();
  });

  test('sees its own, and operators see all', async () => {
    await using one = await world();
    const ids = [await one.ask('http://93.184.216.34/1.car'), await one.ask('http://93.184.216.34/2.car')];
    const list = async (token: string, query = '') =>
      (await one.call('GET', `/uploads/pulls${query}`, token)).json as unknown as {
        items: Shown[];
        next: string | null;
      };
    expect((await list(tokens.upload)).items.map(({ id }) => id)).toEqual(ids.toReversed());
    expect((await list(tokens.ops)).items).toHaveLength(2);
    expect((await list(tokens.upload2)).items).toEqual([]);
    expect((await list(tokens.ops, '?state=pulled')).items).toEqual([]);
    const first = await list(tokens.read, '?limit=1&count=true');
    expect(first).toMatchObject({ items: [{ id: ids[1] }], count: { value: 2, exact: true } });
    expect(await list(tokens.read, `?limit=1&cursor=${first.next}`)).toMatchObject({
      items: [{ id: ids[0] }],
      next: null,
    });
    expect((await one.call('GET', `/uploads/pulls/${ids[0]}`, tokens.upload2)).status).toBe(404);
    expect((await one.call('DELETE', `/uploads/pulls/${ids[0]}`, tokens.upload2)).status).toBe(404);
    expect((await one.call('DELETE', `/uploads/pulls/${ids[0]}`, tokens.read)).status).toBe(403);
  });

  test('may cancel it: before it is fetched, and in the middle', async () => {
    await using one = await world();
    const { bytes } = someCar();
    await using server = await halted(bytes, 300_000);
    const early = await one.ask(`${server.url}/early`);
    expect((await one.call('DELETE', `/uploads/pulls/${early}`, tokens.upload)).json).toMatchObject({
      state: 'cancelled',
    });
    expect((await one.call('DELETE', `/uploads/pulls/${early}`, tokens.upload)).status).toBe(200);
    await one.run(early);
    expect(server.asked).toEqual([]);
    const id = await one.ask(server.url);
    const running = one.run(id);
    await expect
      .poll(async () => (await readFile(join(one.folder, `${id}.part`)).catch(() => '')).length)
      .toBe(300_000);
    expect((await one.show(id)).fetching).toBe(true);
    await one.call('DELETE', `/uploads/pulls/${id}`, tokens.ops);
    const began = performance.now();
    await running;
    expect(performance.now() - began).toBeLessThan(12_000);
    expect(await one.show(id)).toMatchObject({
      state: 'cancelled',
      cid: null,
      error: null,
      events: [{ kind: 'asked' }, { kind: 'cancelled' }],
    });
    expect(await sweepSpools(one.folder, (ids) => listWaitingPulls(one.fixture.kysely, ids))).toBe(1);
    expect(await one.spools()).toEqual([]);
    const done = await one.ask(`${server.url}/done`);
    server.release();
    await one.run(done);
    expect((await one.call('DELETE', `/uploads/pulls/${done}`, tokens.upload)).json.code).toBe('CONFLICT');
  }, 20_000);
});

test('the bytes of a pull that waits are swept by nobody', async () => {
  await using one = await world();
  const id = await one.ask('http://93.184.216.34/a.car');
  await writeFile(join(one.folder, `${id}.part`), 'some');
  await writeFile(join(one.folder, `${randomUUID()}.part`), 'other');
  expect(await sweepSpools(one.folder, (ids) => listWaitingPulls(one.fixture.kysely, ids))).toBe(1);
  expect(await one.spools()).toEqual([`${id}.part`]);
  expect(await sweepSpools(join(one.folder, 'nowhere'), async () => new Set())).toBe(0);
});
