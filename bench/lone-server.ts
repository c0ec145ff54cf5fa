import { createServer, type ServerDeps } from '../src/api/server.ts';
import { systemClock as clock } from '../src/clock.ts';
import type { Database } from '../src/db/connect.ts';
import { createPieceTokens } from '../src/deals/send/piece-token.ts';
import { createStatusReader } from '../src/deals/status/status-reader.ts';
import { silentLog as log } from '../src/log/log.ts';
import { createFetcher } from '../src/outgoing/fetcher.ts';
import { openLocalStore } from '../src/storage/local-store.ts';

const GIB = 2n ** 30n;

interface Place {
  database: Database;
  /** Of the local store. */
  folder: string;
  /** Of piece tokens. */
  secret: string;
}

/** The API over rows and bytes that are there already, without any stage behind it: what would change them is refused. */
export async function loneServer({ database, folder, secret }: Place, own: Partial<ServerDeps>) {
  const pieceTokens = createPieceTokens(secret);
  const refused = () => Promise.reject(new Error('here it is only read'));
  return createServer({
    kysely: database.kysely,
    statuses: createStatusReader(database),
    store: await openLocalStore(folder),
    jobs: { send: refused },
    clock,
    log,
    sealRules: {
      pieceBytes: GIB,
      minPieceBytes: GIB,
      minFillBytes: GIB / 2n,
      maxAgeMs: 1,
      forceAgeMs: 1,
      openAggregates: 1,
    },
    tokens: [],
    webhookSecret: () => '',
    webhookRules: { allowPrivate: false },
    pullSources: { fetcher: createFetcher({ allowPrivate: false }), s3Places: [] },
    publicCheck: false,
    verifyPieceToken: (token) => pieceTokens.verify(token),
    pieceTokens,
    dealNetwork: () => undefined,
    readiness: {},
    metrics: { contentType: 'text/plain', text: async () => '' },
    receiveCar: refused,
    sealAggregate: refused,
    addProvider: refused,
    ...own,
  });
}
