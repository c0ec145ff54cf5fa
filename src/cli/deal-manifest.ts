import { listeningUrl, readConfig } from '../config.ts';
import { listManifest, toCsv } from '../deals/send/manifest.ts';
import { createPieceTokens } from '../deals/send/piece-token.ts';
import type { Io } from '../terminal.ts';
import { ownTokenSecret } from '../token-secret.ts';
import { table, toJson } from './command.ts';
import { withDatabase } from './database.ts';

/** `lading deal list --offline`: what providers have to import by hand, with the URL and token of each deal. */
export async function offlineDeals(io: Io, { csv, json }: { csv: boolean; json: boolean }): Promise<string> {
  const config = readConfig(io.env, 'tool');
  const pieceTokens = createPieceTokens(config.tokenSecret ?? (await ownTokenSecret(config.dataDir)));
  const publicUrl = config.publicUrl ?? listeningUrl(config.host, config.port);
  const entries = await withDatabase(io, ({ kysely }) => listManifest(kysely, { pieceTokens, publicUrl }, undefined));
  if (csv) return toCsv(entries).trimEnd();
  if (json) return toJson(entries);
  const rows = entries.map(({ dealUuid, provider, pieceCid, carSize, startEpoch }) => ({
    id: dealUuid,
    provider,
    piece: pieceCid,
    'car bytes': String(carSize),
    'start epoch': String(startEpoch),
  }));
  return table(rows, 'no offline deal waits to be imported');
}
