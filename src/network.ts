import type { Kysely } from 'kysely';
import type { Chain } from './chain/chain.ts';
import type { DB } from './db/tables.ts';
import type { DealNetwork } from './deals/status/deal-object.ts';
import { LadingError } from './errors.ts';
import { networks, type NetworkName } from './filecoin/networks.ts';

/** The network of this database: its name at once, its genesis as soon as it is known. */
export interface OwnNetwork {
  readonly name: NetworkName;
  /** Undefined while the genesis of a devnet was never seen. */
  dealNetwork(): DealNetwork | undefined;
  /** Reads the chain's genesis, keeps it, and throws `NETWORK_DIFFERS` when the endpoint serves another chain. */
  meet(chain: Pick<Chain, 'genesis'>, signal: AbortSignal): Promise<void>;
}

function differs(message: string): LadingError {
  return new LadingError('NETWORK_DIFFERS', message);
}

async function claimName(kysely: Kysely<DB>, name: NetworkName) {
  const genesis = networks[name].genesisSeconds;
  const row = { name, genesis_seconds: genesis === undefined ? null : BigInt(genesis), genesis_cid: null };
  await kysely
    .insertInto('network')
    .values(row)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const found = await kysely.selectFrom('network').selectAll().executeTakeFirstOrThrow();
  if (found.name === name) return found;
  throw differs(
    `this database belongs to ${found.name}, and CHAIN_NETWORK is ${name}: use another database, or CHAIN_NETWORK=${found.name}`,
  );
}

interface Genesis {
  seconds: number;
  cid: string;
}

/** Keeps the first genesis that was seen; whoever comes later must bring the same. */
async function claimGenesis(kysely: Kysely<DB>, name: NetworkName, { seconds, cid }: Genesis): Promise<void> {
  await kysely
    .updateTable('network')
    .set({ genesis_cid: cid, genesis_seconds: BigInt(seconds) })
    .where('genesis_cid', 'is', null)
    .where((eb) => eb.or([eb('genesis_seconds', 'is', null), eb('genesis_seconds', '=', BigInt(seconds))]))
    .execute();
  const kept = await kysely.selectFrom('network').selectAll().executeTakeFirstOrThrow();
  if (kept.genesis_cid === cid) return;
  const own = kept.genesis_cid ?? `the one of unix time ${kept.genesis_seconds}`;
  throw differs(
    `CHAIN_RPC_URL serves the chain of genesis ${cid} (unix time ${seconds}), this database belongs to ${name} of genesis ${own}`,
  );
}

/** Binds the database to the configured network; a database of another network is refused. */
export async function openNetwork(kysely: Kysely<DB>, name: NetworkName): Promise<OwnNetwork> {
  const row = await claimName(kysely, name);
  let genesisSeconds = row.genesis_seconds === null ? undefined : Number(row.genesis_seconds);
  const { addressLetter } = networks[name];
  return {
    name,
    dealNetwork: () => (genesisSeconds === undefined ? undefined : { genesisSeconds, addressLetter }),
    async meet(chain, signal) {
      const { timestampSeconds, key } = await chain.genesis(signal);
      await claimGenesis(kysely, name, { seconds: timestampSeconds, cid: key.join(',') });
      genesisSeconds = timestampSeconds;
    },
  };
}
