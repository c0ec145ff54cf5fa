import type { Kysely } from 'kysely';
import { createChain, type Chain } from '../chain/chain.ts';
import { createRpc } from '../chain/rpc.ts';
import type { Clock } from '../clock.ts';
import { listeningUrl, type Config } from '../config.ts';
import type { DB } from '../db/tables.ts';
import { findPolicy } from '../deals/propose/policy-store.ts';
import { openWallet } from '../deals/wallet/open-wallet.ts';
import type { ObjectStore } from '../storage/store.ts';
import { checkEndpoint, checkWallet } from './check-chain.ts';
import { checkDatabase, checkStuck } from './check-database.ts';
import { checkDifferences, checkFinality } from './check-finality.ts';
import { checkCluster } from './check-cluster.ts';
import { checkPublicUrl } from './check-public-url.ts';
import { checkSources } from './check-sources.ts';
import { checkWork } from './check-work.ts';
import { checkDamage, checkRoom, checkStore } from './check-store.ts';
import { examine, sound, type Finding } from './finding.ts';

interface DoctorInput {
  config: Config;
  clock: Clock;
  signal: AbortSignal;
  /** Undefined where it could not be opened, which is a finding of its own. */
  db: Kysely<DB> | undefined;
  store: ObjectStore | undefined;
}

/** Looks at everything the service stands on. What could not be opened is left out. */
export async function diagnose({ config, clock, signal, db, store }: DoctorInput): Promise<Finding[]> {
  const needsReach = config.network !== 'devnet' && config.wallet !== undefined && config.rpcEndpoints.length > 0;
  const { publicUrl, minFreeBytes, storeQuotaBytes: quotaBytes } = config;
  return [
    ...(db === undefined ? [] : await checkDatabase(db)),
    ...(store === undefined ? [] : await checkStore(store)),
    ...(store === undefined ? [] : await checkRoom({ store, db }, { minFreeBytes, quotaBytes })),
    ...(await checkMoneyAndChain({ config, clock, signal, db })),
    ...(await checkCluster(config.ipfsCluster, signal)),
    ...(await checkSources(config, signal)),
    ...(await checkPublicUrl({ publicUrl, listeningUrl: listeningUrl(config.host, config.port), needsReach, signal })),
    ...(db === undefined ? [] : await checkDamage(db)),
    ...(db === undefined ? [] : await checkWork(db)),
    ...(db === undefined ? [] : await checkStuck(db, { now: clock.now(), forceAgeMs: config.sealing.forceAgeMs })),
  ];
}

async function checkMoneyAndChain({ config, clock, signal, db }: Omit<DoctorInput, 'store'>): Promise<Finding[]> {
  const { network, rpcEndpoints } = config;
  const findings: Finding[] = [];
  await using stack = new AsyncDisposableStack();
  const chains = rpcEndpoints.map((endpoint): { name: string; chain: Chain } => {
    const rpc = createRpc({ endpoints: [endpoint], clock });
    stack.defer(() => rpc.close());
    return { name: new URL(endpoint.url).host, chain: createChain(rpc) };
  });
  for (const { name, chain } of chains) {
    findings.push(...(await checkEndpoint({ name, chain, network, now: clock.now(), signal })));
    if (db !== undefined) findings.push(...(await checkFinality({ name, chain, db }, signal)));
  }
  if (chains.length === 0) findings.push(sound('chain', 'none is configured (CHAIN_RPC_URL): nothing is proposed'));
  if (db !== undefined) findings.push(...(await checkDifferences(db)));
  const { wallet } = config;
  if (wallet === undefined) return [...findings, sound('wallet', 'none is configured (WALLET): nothing is proposed')];
  const found = await examine('wallet', 'see that WALLET names a key file of mode 0600, or lotus:ADDRESS', async () => {
    const verified = db === undefined ? false : (await findPolicy(db)).verified;
    using opened = await openWallet(wallet, { endpoints: rpcEndpoints, signal });
    return await checkWallet(opened, chains[0]?.chain, { verified, signal });
  });
  return [...findings, ...found];
}
