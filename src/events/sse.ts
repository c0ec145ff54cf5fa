import { describeChange, type AddressLetter } from './change.ts';
import type { FoundChange } from './read-changes.ts';

/** One event of the stream. JSON has no line breaks, so one data line holds it. */
export function sseEvent({ row, upload }: FoundChange, letter: AddressLetter): string {
  const change = describeChange(row, upload, letter);
  return `event: change\nid: ${change.id}\ndata: ${JSON.stringify(change)}\n\n`;
}

/** A comment: keeps the connection open through proxies, and shows both sides that it still is. */
export const HEARTBEAT = ': heartbeat\n\n';

/**
 * First words of a stream: headers leave with them; a reader that lost it comes again after two seconds. The id is where
 * the stream begins, so that a break before the first change loses none: EventSource takes it, and tells nobody.
 */
export function greeting(id: string): string {
  return `: lading events\nretry: 2000\nid: ${id}\n\n`;
}
