import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import type { EventFilter } from '../../src/events/filter.ts';
import { EventHub } from '../../src/events/hub.ts';
import { findHead } from '../../src/events/outbox.ts';
import { readChanges } from '../../src/events/read-changes.ts';
import { silentLog } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';
import { AT, seedUploads, untilReadable } from './event-rows.ts';
import { rootAt } from './large-aggregate.ts';
import { MemorySink } from './memory-sink.ts';

type Db = Awaited<ReturnType<typeof testDatabase>>;

const UPLOADS = 60;
/** Which uploads lie in which aggregate; two hold the same ones, as topping up makes it. */
const HELD = [range(0, 1), range(1, 25), range(25, 60), [0, 3, 30, 59]];
const OWNERS = ['alice', 'bob'];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, at) => from + at);
}

/** Every third upload is of both, the others of one. */
function ownersOf(upload: number): string[] {
  return upload % 3 === 0 ? OWNERS : [OWNERS[upload % 2] ?? ''];
}

async function seed({ kysely, pool }: Db) {
  const uploads = await seedUploads(kysely, range(0, UPLOADS).map(rootAt));
  const aggregates: bigint[] = [];
  const deals: string[] = [];
  await pool.query(`insert into owners (name) values ('alice'), ('bob')`);
  for (const [at, id] of uploads.entries()) {
    await pool.query(
      `insert into upload_owners (upload_id, owner_id, since) select $1, id, $2 from owners where name = any($3)`,
      [id, AT, ownersOf(at)],
    );
  }
  await pool.query(
    `insert into providers (id, state, address_source, added_at) values ('f01000', 'enabled', 'chain', now())`,
  );
  for (const [nth, held] of HELD.entries()) {
    const { rows } = await pool.query<{ id: bigint }>(
      `with made as (insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, opened_at, changed_at)
         values ('sealing', 100000, 59 + 100 * $1::integer, $1, now(), 'full', now(), now()) returning id),
       told as (insert into events (at, aggregate_id, from_state, to_state) select now(), id, 'open', 'sealing' from made)
       select id from made`,
      [held.length],
    );
    const aggregate = rows[0]?.id ?? 0n;
    aggregates.push(aggregate);
    for (const [seq, upload] of held.entries()) {
      await pool.query(
        `insert into placements (aggregate_id, seq, upload_id, topped_up, offset_bytes, length_bytes) values ($1, $2, $3, $4, $5, 100)`,
        [aggregate, seq, uploads[upload], nth === HELD.length - 1, 59 + 100 * seq],
      );
    }
    const deal = randomUUID();
    deals.push(deal);
    await pool.query(
      `with made as (insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client,
          signed_proposal, proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, created_at, changed_at)
        values ($1, $2::bigint, 0, 0, 'f01000', 1, 'signed', 'f1client', '\\x00', 'bafyproposal' || $2::bigint, false, 1000, 2000, 0, 0, now(), now()) returning id)
       insert into events (at, deal_id, to_state) select now(), id, 'signed' from made`,
      [deal, aggregate],
    );
  }
  await untilReadable(kysely);
  return { uploads, aggregates, deals };
}

type Written =
  | { kind: 'upload'; of: number; to: string; reason: string | undefined }
  | { kind: 'aggregate' | 'deal'; of: number; to: string; reason: string | undefined };

const written: fc.Arbitrary<Written> = fc.oneof(
  fc.record({
    kind: fc.constant('upload' as const),
    of: fc.nat(UPLOADS - 1),
    to: fc.constantFrom('waiting', 'stowed', 'failed'),
    reason: fc.constantFrom(undefined, 'OWNER_LEFT', 'CUT_PLACED'),
  }),
  fc.record({
    kind: fc.constantFrom('aggregate' as const, 'deal' as const),
    of: fc.nat(HELD.length - 1),
    to: fc.constantFrom('sealed', 'active', 'failed', 'open'),
    reason: fc.constant(undefined),
  }),
);

interface Wish {
  cids?: number[] | undefined;
  deal?: number | undefined;
  states?: string[] | undefined;
  kinds?: ('upload' | 'aggregate' | 'deal')[] | undefined;
  owner?: string | undefined;
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const wish: fc.Arbitrary<Wish> = fc.record({
  cids: maybe(fc.array(fc.nat(UPLOADS - 1), { minLength: 1, maxLength: 8 })),
  deal: fc.option(fc.nat(HELD.length - 1), { nil: undefined, freq: 6 }),
  states: maybe(fc.uniqueArray(fc.constantFrom('waiting', 'failed', 'active', 'sealed'), { minLength: 1 })),
  kinds: maybe(
    fc.uniqueArray(fc.constantFrom('upload' as const, 'aggregate' as const, 'deal' as const), { minLength: 1 }),
  ),
  owner: maybe(fc.constantFrom(...OWNERS)),
});

/** What a subscriber has to be told of, said once more from scratch: (row, upload) in the order of both. */
function expected(rows: readonly Written[], want: Wish): string[] {
  return rows.flatMap((row, nth) => {
    if (row.reason === 'OWNER_LEFT' || (row.kind === 'aggregate' && row.to === 'open')) return [];
    if (want.kinds?.includes(row.kind) === false || want.states?.includes(row.to) === false) return [];
    if (want.deal !== undefined && !(row.kind === 'deal' && row.of === want.deal)) return [];
    const concerned = row.kind === 'upload' ? [row.of] : (HELD[row.of] ?? []);
    return concerned
      .filter((upload) => want.cids?.includes(upload) !== false)
      .filter((upload) => want.owner === undefined || ownersOf(upload).includes(want.owner))
      .map((upload) => `${nth} ${rootAt(upload)}`);
  });
}

test('whoever listens, and whoever reads afterwards, is told of what its filter says and of nothing else', async () => {
  await using db = await testDatabase();
  const { uploads, aggregates, deals } = await seed(db);
  const hub = new EventHub({ kysely: db.kysely, log: silentLog, letter: () => 'f', limits: { tickMs: 2 } });
  onTestFinished(() => hub.close());
  const filterOf = ({ cids, deal, ...rest }: Wish): EventFilter => {
    const given = { ...rest, cids: cids?.map(rootAt), deal: deal === undefined ? undefined : deals[deal] };
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(written, { minLength: 1, maxLength: 30 }),
      fc.array(wish, { minLength: 1, maxLength: 12 }),
      async (rows, wishes) => {
        await untilReadable(db.kysely);
        const told = await Promise.all(
          wishes.map(async (one) => {
            const sink = new MemorySink();
            return { one, sink, subscription: await hub.subscribe(filterOf(one), sink) };
          }),
        );
        const label = randomUUID();
        const head = await findHead(db.kysely);
        for (const [nth, { kind, of, to, reason }] of rows.entries()) {
          const subject =
            kind === 'upload'
              ? { upload_id: uploads[of] }
              : kind === 'deal'
                ? { deal_id: deals[of] }
                : { aggregate_id: aggregates[of] };
          await db.kysely
            .insertInto('events')
            .values({ at: AT, to_state: to, reason_code: reason ?? null, detail: `${label} ${nth}`, ...subject })
            .execute();
        }
        const short = ({ reason = '', cid }: { reason?: string; cid: string }) =>
          `${reason.slice(label.length + 1)} ${cid}`;
        // A subscriber may be told of what was written a moment before it came.
        const toldBy = ({ changes }: MemorySink) =>
          changes.filter(({ reason }) => reason?.startsWith(label)).map(short);
        for (const { one, sink, subscription } of told) {
          const due = expected(rows, one);
          await expect
            .poll(() => toldBy(sink).length, { interval: 2, timeout: 10_000 })
            .toBeGreaterThanOrEqual(due.length);
          expect(toldBy(sink)).toEqual(due);
          subscription.close();
          const later: string[] = [];
          for (let after = head, done = false; !done; ) {
            const page = await readChanges(db.kysely, filterOf(one), { after, limit: 17 });
            later.push(
              ...page.changes
                .filter(({ row }) => row.detail?.startsWith(label))
                .map(({ row, upload }) => short({ reason: row.detail ?? '', cid: upload.root })),
            );
            ({ cursor: after, done } = page);
          }
          expect(later).toEqual(due);
        }
      },
    ),
    { numRuns: 40, seed: 20_261_124 },
  );
});
