import { sql, type Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import { formatBytes } from '../../filecoin/units.ts';

/** Refuses uploads above a bound of stored bytes. */
export interface Quota {
  /** Throws `STORE_QUOTA` when so many more bytes are not to be stored. Counts nothing. */
  expect(comingBytes: number): Promise<void>;
  /** Passes a body on and counts it; throws `STORE_QUOTA` in the middle of one that is too much. */
  meter(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

/**
 * The sum is taken from the rows anew after this time: one scan a process, beside the uploads. What other processes take
 * in meanwhile is not seen, so that several together may exceed the quota by what they receive in this time.
 */
export const QUOTA_REFRESH_MS = 30_000;

interface QuotaDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  quotaBytes: bigint | undefined;
}

/** Bytes that rows name: parts of uploads, trees of aggregates that are kept, CARs that were fetched back. Proofs are small and not counted. */
export async function sumStoredBytes(kysely: Kysely<DB>): Promise<bigint> {
  const { rows } = await sql<{ bytes: bigint }>`
    select ((select coalesce(sum(bytes), 0) from (select bytes from kept_counts where what = 'part'
        union all select bytes from count_changes where what = 'part') as parts)
      + (select coalesce(sum(tree_bytes), 0) from aggregates where released_at is null)
      + (select coalesce(sum(a.car_bytes), 0) from restorations r join aggregates a on a.id = r.aggregate_id
        where r.object_key is not null))::bigint as bytes`.execute(kysely);
  return rows[0]?.bytes ?? 0n;
}

/** Without a quota nothing is counted. Bodies count as they come, which is a little more than what is stored of them. */
export function createQuota({ kysely, clock, quotaBytes }: QuotaDeps): Quota {
  if (quotaBytes === undefined) return { expect: async () => undefined, meter: (body) => body };
  const sum = createStoredSum(kysely, clock);
  const check = (comingBytes: number) => {
    if (sum.bytes() + BigInt(comingBytes) > quotaBytes) throw overQuota(quotaBytes);
  };
  return {
    async expect(comingBytes) {
      await sum.refresh();
      check(Math.max(1, comingBytes));
    },
    async *meter(body) {
      for await (const chunk of body) {
        sum.add(chunk.length);
        check(0);
        yield chunk;
      }
    },
  };
}

/** The last sum of the rows, and what this process took in since the sum before: rather too much than too little. */
function createStoredSum(kysely: Kysely<DB>, clock: Clock) {
  let summed = 0n;
  let readAt: number | undefined;
  let since = 0n;
  let before = 0n;
  let reading: Promise<void> | undefined;
  const read = async () => {
    const startedAt = clock.now().getTime();
    const came = since;
    try {
      summed = await sumStoredBytes(kysely);
      readAt = startedAt;
      // What came before that moment may not have had its rows yet, so it counts until the next sum.
      before = came;
      since -= came;
    } finally {
      reading = undefined;
    }
  };
  return {
    bytes: () => summed + before + since,
    add: (bytes: number) => void (since += BigInt(bytes)),
    /** Waits only for the first sum; later ones are taken while uploads go on, and a fault leaves the old one. */
    async refresh() {
      const isOld = readAt === undefined || clock.now().getTime() - readAt >= QUOTA_REFRESH_MS;
      if (!isOld) return;
      reading ??= read();
      if (readAt === undefined) await reading;
      else reading.catch(() => undefined);
    },
  };
}

function overQuota(quotaBytes: bigint): LadingError {
  const message = `the store holds as much as STORE_QUOTA allows (${formatBytes(quotaBytes)}); try again later`;
  return new LadingError('STORE_QUOTA', message, { retry: 'later', details: { quotaBytes: quotaBytes.toString() } });
}
