// Serves pieces out of a database and a store that bench/piece.ts has filled, in a process of its own to be measured.
import { createServer } from '../src/api/server.ts';
import { systemClock as clock } from '../src/clock.ts';
import { connect } from '../src/db/connect.ts';
import { createPieceTokens } from '../src/deals/send/piece-token.ts';
import { createStatusReader } from '../src/deals/status/status-reader.ts';
import { silentLog as log } from '../src/log.ts';
import { openLocalStore } from '../src/storage/local-store.ts';

const [url = '', folder = '', secret = ''] = process.argv.slice(2);
const GIB = 2n ** 30n;

const database = connect(url);
const store = await openLocalStore(folder);
const pieceTokens = createPieceTokens(secret);
const refused = () => Promise.reject(new Error('only pieces are served here'));
const server = createServer({
  kysely: database.kysely,
  statuses: createStatusReader(database),
  store,
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
  publicCheck: false,
  verifyPieceToken: (token) => pieceTokens.verify(token),
  pieceTokens,
  dealNetwork: () => undefined,
  readiness: {},
  metrics: { contentType: 'text/plain', text: async () => '' },
  receiveCar: refused,
  sealAggregate: refused,
  addProvider: refused,
});
console.log(await server.listen({ host: '127.0.0.1', port: 0 }));
process.once('SIGTERM', () => {
  void server.close().then(() => database[Symbol.asyncDispose]());
});
