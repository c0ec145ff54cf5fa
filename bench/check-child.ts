// Answers checks out of a database that bench/check.ts has filled, and asks the bare query behind them, in one process of
// its own: what both take of a CPU is measured under the same conditions.
import { connect } from '../src/db/connect.ts';
import { statusStatement } from '../src/deals/status/status-reader.ts';
import { rootOf } from './check-rows.ts';
import { loneServer } from './lone-server.ts';

/** What the parent asks for: so many lanes that ask for so many uploads at a time, for so long. */
export interface BareOrder {
  /** The service's own query, or the plain join of the same tables. */
  query: 'own' | 'join';
  lanes: number;
  cids: number;
  ms: number;
}

export interface BareReport {
  queries: number;
  ms: number;
}

const [url = '', folder = '', size = ''] = process.argv.slice(2);
const uploads = Number(size);
const MAINNET_GENESIS = 1_598_306_400;

const served = connect(url);
// Of the bare query alone: as many connections as lanes.
const bare = connect(url, { maxConnections: 16 });
const secret = 'a secret of at least thirty-two characters';
const server = await loneServer(
  { database: served, folder, secret },
  {
    tokens: [{ name: 'bench', role: 'upload', token: 'bench-token' }],
    publicCheck: true,
    dealNetwork: () => ({ genesisSeconds: MAINNET_GENESIS, addressLetter: 'f' }),
  },
);

/** A row for each deal, as the query reads that one would write first. */
const JOIN = `select u.*, p.seq, p.cut, p.selector, a.id as aggregate_id, a.state as aggregate_state, a.entry_count,
    a.length_bytes, a.capacity_bytes, a.oldest_accepted_at, a.piece_cid, a.batch_root, a.released_at, d.state as deal_state,
    d.provider_id, d.changed_at as deal_changed_at, d.start_epoch, d.end_epoch, d.chain_deal_id, d.sector_start_epoch,
    d.reason_code, d.reason_text
  from uploads u left join placements p on p.upload_id = u.id left join aggregates a on a.id = p.aggregate_id
  left join deals d on d.aggregate_id = a.id
  where u.root = any((select $1::text[])::text[]) and u.state <> 'removed' order by d.changed_at, d.id, a.id desc`;

const statements = { own: statusStatement(bare.kysely), join: { name: 'plain-join', text: JOIN } };

async function runBare({ query, lanes, cids, ms }: BareOrder): Promise<BareReport> {
  const start = performance.now();
  let queries = 0;
  const lane = async () => {
    while (performance.now() - start < ms) {
      const roots = Array.from({ length: cids }, () => rootOf(Math.floor(Math.random() * uploads)));
      await bare.pool.query({ ...statements[query], values: [roots] });
      queries += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { queries, ms: performance.now() - start };
}

process.on('message', (order: 'cpu' | BareOrder) => {
  if (order === 'cpu') process.send?.(process.cpuUsage());
  else void runBare(order).then((report) => process.send?.(report));
});
process.on('disconnect', () => {
  void server.close().then(() => Promise.all([served[Symbol.asyncDispose](), bare[Symbol.asyncDispose]()]));
});
process.send?.(await server.listen({ host: '127.0.0.1', port: 0 }));
