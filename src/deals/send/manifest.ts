import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { pieceAccess, type ParamsDeps } from './deal-params.ts';

/** What a provider needs to import one offline deal by hand. */
export interface ManifestEntry {
  dealUuid: string;
  provider: string;
  proposalCid: string;
  pieceCid: string;
  /** Padded. */
  pieceSize: number;
  carSize: number;
  startEpoch: number;
  /** Where the CAR can be fetched, with `authorization` as the header of that name. A secret of this provider. */
  url: string;
  authorization: string;
}

const COLUMNS = [
  ['deal_uuid', 'dealUuid'],
  ['provider', 'provider'],
  ['proposal_cid', 'proposalCid'],
  ['piece_cid', 'pieceCid'],
  ['piece_size', 'pieceSize'],
  ['car_size', 'carSize'],
  ['start_epoch', 'startEpoch'],
  ['url', 'url'],
  ['authorization', 'authorization'],
] as const satisfies [string, keyof ManifestEntry][];

/** A provider imports a few dozen pieces a day; the oldest come first, so that the rest follows as these are imported. */
const MAX_ENTRIES = 10_000;

/** Offline deals that wait to be imported, oldest first; of one provider when it is given. */
export async function listManifest(
  db: Kysely<DB>,
  deps: ParamsDeps,
  provider: string | undefined,
): Promise<ManifestEntry[]> {
  const rows = await db
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select(['d.id', 'd.provider_id', 'd.proposal_cid', 'd.start_epoch', 'a.piece_cid', 'a.piece_bytes', 'a.car_bytes'])
    .where('d.offline', '=', true)
    .where('d.state', '=', 'accepted')
    .$if(provider !== undefined, (query) => query.where('d.provider_id', '=', provider ?? ''))
    .orderBy('d.created_at')
    .orderBy('d.id')
    .limit(MAX_ENTRIES)
    .execute();
  return rows.map((row) => {
    const pieceCid = row.piece_cid ?? '';
    const { url, headers } = pieceAccess(deps, row.id, pieceCid);
    return {
      dealUuid: row.id,
      provider: row.provider_id,
      proposalCid: row.proposal_cid,
      pieceCid,
      pieceSize: Number(row.piece_bytes),
      carSize: Number(row.car_bytes),
      startEpoch: Number(row.start_epoch),
      url,
      authorization: headers.Authorization,
    };
  });
}

/** RFC 4180. No field holds a comma or a quote, but for a URL that an operator may have written so. */
function csvField(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(entries: readonly ManifestEntry[]): string {
  const lines = entries.map((entry) => COLUMNS.map(([, key]) => csvField(entry[key])).join(','));
  return [COLUMNS.map(([name]) => name).join(','), ...lines].map((line) => `${line}\r\n`).join('');
}
