import { FILE_CHUNK_BYTES } from '../../filecoin/unixfs.ts';
import { LadingError } from '../../errors.ts';

export const MANIFEST_NAME = '@AggregateManifest.ndjson';
/** The description stands once in each manifest; the reserve of an aggregate counts it at this length. */
export const MAX_DESCRIPTION_BYTES = 256;
/** Our own description: what the batch is, in words of Lading. */
export const BATCH_DESCRIPTION = 'Independent uploads, batched by Lading into one piece';

/** What the manifest tells of one upload. */
export interface ManifestEntry {
  cidV1: string;
  cidV0: string | undefined;
  dagBytes: number | undefined;
  nodeCount: number | undefined;
  prefixes: readonly [string, string];
  indexes: readonly [number, number, number];
}

/** What Go's JSON writes otherwise than JavaScript's: a description with these would make another manifest there. */
const ESCAPED_BY_GO = /[<>&\u2028\u2029\p{Cc}]/u;

/** Throws `BATCH_DESCRIPTION` for a text that Go's JSON and JavaScript's would write differently, or one too long. */
export function checkDescription(description: string): void {
  if (description.isWellFormed() && !ESCAPED_BY_GO.test(description)) {
    if (Buffer.byteLength(JSON.stringify(description)) - 2 <= MAX_DESCRIPTION_BYTES) return;
  }
  throw new LadingError(
    'BATCH_DESCRIPTION',
    `the batch description must be at most ${MAX_DESCRIPTION_BYTES} bytes of text without <, >, & and control characters`,
  );
}

export function preambleLine(): string {
  return `${JSON.stringify({ RecordType: 'DagAggregatePreamble', Version: 1 })}\n`;
}

export function summaryLine(entryCount: number, description: string): string {
  const record = {
    RecordType: 'DagAggregateSummary',
    EntryCount: entryCount,
    EntriesSortedBy: 'DagCidV1',
    Description: description,
  };
  return `${JSON.stringify(record)}\n`;
}

/** Sizes that are unknown or 0 are left out, as go-dagaggregator-unixfs does. */
export function entryLine(entry: ManifestEntry): string {
  const record = {
    RecordType: 'DagAggregateEntry',
    DagCidV1: entry.cidV1,
    DagCidV0: entry.cidV0,
    DagSize: entry.dagBytes || undefined,
    NodeCount: entry.nodeCount || undefined,
    PathPrefixes: entry.prefixes,
    PathIndexes: entry.indexes,
  };
  return `${JSON.stringify(record)}\n`;
}

interface ManifestEntries {
  entries: Iterable<ManifestEntry>;
  count: number;
}

function* manifestLines({ entries, count }: ManifestEntries, description: string): Generator<string> {
  yield preambleLine();
  yield summaryLine(count, description);
  for (const entry of entries) yield entryLine(entry);
}

/** The manifest's bytes in the chunks of its UnixFS file, written as they are asked for. */
export function* manifestChunks(entries: ManifestEntries, description: string): Generator<Uint8Array> {
  let chunk = Buffer.alloc(FILE_CHUNK_BYTES);
  let filled = 0;
  for (const line of manifestLines(entries, description)) {
    const bytes = Buffer.from(line, 'utf8');
    const taken = bytes.copy(chunk, filled);
    filled += taken;
    if (filled < FILE_CHUNK_BYTES) continue;
    yield chunk;
    chunk = Buffer.alloc(FILE_CHUNK_BYTES);
    filled = bytes.copy(chunk, 0, taken);
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}
