import { CID } from 'multiformats/cid';
import { BitSet } from './bit-set.ts';
import { countKeys, KeyBuckets, visitKeys } from './key-buckets.ts';
import { KeyTable } from './key-table.ts';
import { KeyCursor, type SectionLog } from './section-log.ts';

/** What the sections of a log are to each other. */
interface Joined {
  /** The numbers of sections whose block came before. */
  repeated: BitSet;
  /** CIDs that some block links to, whichever it is, and that no section has; undefined when there is none. */
  unresolved: { count: number; first: string } | undefined;
}

/**
 * Finds repeated blocks and links to nowhere among any number of sections: both are sorted into buckets on disk, then
 * each bucket is looked at by itself. Memory: the pages of all buckets (16 MiB), one bucket, a bit for each section.
 */
export async function joinSections(log: SectionLog, folder: string): Promise<Joined> {
  const buckets = await KeyBuckets.open(folder);
  try {
    const repeated = new BitSet(await fill(buckets, log));
    const table = new KeyTable(buckets);
    let count = 0;
    let first: string | undefined;
    for await (const bucket of buckets.buckets()) {
      table.begin(bucket, countKeys(bucket));
      visitKeys(bucket, (start, end, section) => {
        if (section === undefined) table.want(start, end);
        else if (!table.hold(start, end)) repeated.add(section);
      });
      count += table.wanted;
      first ??= nameOf(table.firstWanted());
    }
    return { repeated, unresolved: first === undefined ? undefined : { count, first } };
  } finally {
    await buckets.close();
  }
}

function nameOf(key: Buffer | undefined): string | undefined {
  return key && CID.decode(key).toString();
}

/** Answers how many sections there are. */
async function fill(buckets: KeyBuckets, log: SectionLog): Promise<number> {
  let number = 0;
  for await (const chunk of log.chunks()) {
    const cursor = new KeyCursor(chunk);
    while (cursor.next()) {
      const written = buckets.add(cursor, cursor.isLink ? undefined : number);
      // Awaited only when a page is full: a promise for each key would cost more than all else here.
      if (written !== undefined) await written;
      if (!cursor.isLink) number += 1;
    }
  }
  return number;
}
