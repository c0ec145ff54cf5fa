import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { OpenAggregate } from './placement-rules.ts';

/**
 * A directory of the batch tree's inner layer lists the roots of which the first 3 and the last 4 characters are the
 * same, and as a block it must stay under 8 MiB, which providers read at most: 40,900 links to roots of
 * `MAX_ROOT_CHARS`. Chance brings a handful together; who tries can make 40,000 such roots in an hour. The limit leaves
 * room for what one page of placements (500) and a top-up (10,000) may add unseen.
 */
export const MAX_DIRECTORY_ENTRIES = 30_000;
/** Roots are told apart by their ends alone: that counts too many rather than too few, in 2 MiB an aggregate. */
const TAIL_CHARS = 4;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
/** Rows read at once. */
const PAGE_ROWS = 10_000;

interface Counted {
  /** Placements counted: all below this `seq`. */
  entries: number;
  /** By `tailIndex`; more than fit into 16 bits never share a tail. */
  byTail: Uint16Array;
}

/** How many entries of large open aggregates share a directory. Kept between calls, so that each row is read once. */
export class DirectoryCounts {
  readonly #counted = new Map<bigint, Counted>();
  readonly #limit: number;

  constructor(limit = MAX_DIRECTORY_ENTRIES) {
    this.#limit = limit;
  }

  /** The open aggregates (all of them), those that may have a crowded directory with word of it as it stands now. */
  async look(db: Kysely<DB>, open: readonly OpenAggregate[]): Promise<OpenAggregate[]> {
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.#counted.keys()) if (!ids.has(id)) this.#counted.delete(id);
    const looked: OpenAggregate[] = [];
    for (const aggregate of open) {
      if (aggregate.entryCount < this.#limit) looked.push(aggregate);
      else looked.push({ ...aggregate, isCrowded: crowdedIn(await this.#count(db, aggregate.id), this.#limit) });
    }
    return looked;
  }

  async #count(db: Kysely<DB>, id: bigint): Promise<Counted> {
    const counted = this.#counted.get(id) ?? { entries: 0, byTail: new Uint16Array(BASE32.length ** TAIL_CHARS) };
    this.#counted.set(id, counted);
    for (let more = true; more; ) {
      const from = counted.entries;
      const tails = await readTails(db, id, from);
      // Another call counted the same rows meanwhile.
      if (counted.entries !== from) continue;
      for (const { tail, entries } of tails) {
        counted.byTail[tailIndex(tail)] = (counted.byTail[tailIndex(tail)] ?? 0) + entries;
        counted.entries += entries;
      }
      more = counted.entries - from === PAGE_ROWS;
    }
    return counted;
  }
}

function crowdedIn({ byTail }: Counted, limit: number): (root: string) => boolean {
  return (root) => (byTail[tailIndex(root.slice(-TAIL_CHARS))] ?? 0) >= limit;
}

/** Roots are CIDv1 in base32. */
function tailIndex(tail: string): number {
  let index = 0;
  for (const char of tail) index = index * BASE32.length + BASE32.indexOf(char);
  return index;
}

async function readTails(db: Kysely<DB>, id: bigint, from: number): Promise<{ tail: string; entries: number }[]> {
  const { rows } = await sql<{ tail: string; entries: number }>`
    select right(u.root, ${TAIL_CHARS}::integer) as tail, count(*)::integer as entries
    from placements p join uploads u on u.id = p.upload_id
    where p.aggregate_id = ${id}::bigint and p.seq >= ${from}::integer and p.seq < ${from + PAGE_ROWS}::integer
    group by tail`.execute(db);
  return rows;
}
