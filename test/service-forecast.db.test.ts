import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { systemClock } from '../src/clock.ts';
import { readConfig } from '../src/config.ts';
import { foldHistory } from '../src/deals/status/history-fold.ts';
import { silentLog } from '../src/log/log.ts';
import { startService } from '../src/service.ts';
import { sampleUpload } from './support/car-builder.ts';
import { testDatabase } from './support/database.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const UPLOAD = 'an-upload-token-of-the-test';
const LIVES = 40;
const HOUR = 3_600_000;

/** Aggregates that were opened ten days ago, closed after 12 h, and active 50 to 90 hours after they were opened. */
const lives = sql`with sealed as (
    insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
      tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
    select 'sealed', 1000, 100, 1, at - interval '1 s', 'age', 'trees/' || n, 27, 'bafyroot', 127, 'baga' || n, 128, at,
      at + interval '13 h', at + interval '13 h'
    from generate_series(1, ${LIVES}::int) as n, lateral (select now() - interval '10 d' as at) as t
    returning id, opened_at, sealed_at
  ), deal as (
    insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
      proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, chain_deal_id,
      sector_start_epoch, created_at, changed_at)
    select gen_random_uuid(), id, 0, 0, 'f01000', 1, 'active', 'f1client', '\\x00', 'bafy' || id, false, 1, 9999999, 0, 0, 1, id, 1,
      sealed_at, opened_at + interval '50 h' + (id - 1) * interval '1 h' from sealed
    returning id, aggregate_id, created_at, changed_at
  )
  insert into events (at, aggregate_id, deal_id, to_state)
  select opened_at + interval '12 h', id, null::uuid, 'sealing' from sealed
  union all select sealed_at, id, null, 'sealed' from sealed
  union all select created_at, null, id, 'signed' from deal
  union all select changed_at, null, id, 'active' from deal`;

test('a service tells of a new upload when it will be active, by what it has measured', async () => {
  await using database = await testDatabase();
  await using folder = await temporaryFolder();
  await sql`insert into providers (id, state, address_source, added_at) values ('f01000', 'paused', 'chain', now())`.execute(
    database.kysely,
  );
  await lives.execute(database.kysely);
  // Here and not by the service: a transaction of another test on the same server may hold it back for a moment.
  const folded = async () => {
    await foldHistory({ kysely: database.kysely, clock: systemClock });
    const { as_of: asOf } = await database.kysely
      .selectFrom('history_cursor')
      .select('as_of')
      .executeTakeFirstOrThrow();
    return Date.now() - (asOf?.getTime() ?? 0);
  };
  await expect.poll(folded, { timeout: 20_000 }).toBeLessThan(HOUR);
  const config = readConfig({
    API_TOKENS: `service:upload:${UPLOAD}`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    MIN_FREE_SPACE: '0',
    PORT: '0',
  });
  const service = await startService(config, { log: silentLog, signal: new AbortController().signal });
  try {
    const { root, car } = sampleUpload('forecast');
    const headers = { authorization: `Bearer ${UPLOAD}`, 'content-type': 'application/vnd.ipld.car' };
    const sent = await fetch(`${service.url}/upload`, { method: 'POST', body: new Uint8Array(car), headers });
    expect(sent.status).toBe(200);
    const queueing = async () => {
      const answer = (await (await fetch(`${service.url}/check/${root}`)).json()) as {
        value: { queueing: { reason: string; etaActive: { p50: string | null; p95: string | null } } };
      };
      return answer.value.queueing;
    };
    await expect.poll(queueing, { timeout: 20_000 }).toMatchObject({
      reason: 'aggregate_filling',
      etaActive: { p50: expect.any(String), p95: expect.any(String) },
    });
    const { p50, p95 } = (await queueing()).etaActive;
    const hours = [p50, p95].map((at) => Math.round((Date.parse(at ?? '') - Date.now()) / HOUR));
    // Of 40 and itself: the 21st took 70 hours, the 39th 88.
    expect(hours).toEqual([70, 88]);
  } finally {
    await service.stop();
  }
});
