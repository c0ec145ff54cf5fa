import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';

/**
 * A provider's memory: JSON lines, only ever appended. A line is on its way to the disk when `append` returns, so it
 * outlives a SIGKILL (not a power cut, which nobody tries on a devnet). A torn last line never happened.
 */
export interface ProviderJournal<Entry> {
  /** What was written before this start, oldest first. */
  readonly entries: readonly Entry[];
  append(entry: Entry): void;
}

export function openJournal<Entry>(path: string): ProviderJournal<Entry> {
  const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const end = text.lastIndexOf(0x0a) + 1;
  if (end < text.length) truncateSync(path, end);
  const lines = text.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
  return {
    // The journal is this module's own output; a reader of its lines trusts them.
    entries: lines.map((line) => JSON.parse(line) as Entry),
    append: (entry) => appendFileSync(path, `${JSON.stringify(entry)}\n`),
  };
}
