import type { Config } from '../config.ts';
import { authorizationOf, openPinCluster } from '../pins/cluster/cluster-client.ts';
import { examine, sound, type Finding } from './finding.ts';

const TIMEOUT_MS = 10_000;
const NAME = 'ipfs cluster';

/** Whether the IPFS Cluster answers us, where one is configured. */
export async function checkCluster(given: Config['ipfsCluster'], signal: AbortSignal): Promise<Finding[]> {
  if (given === undefined) return [sound(NAME, 'none is configured (IPFS_CLUSTER_URL): the service itself is the pin')];
  const { url, token } = given;
  const advice =
    'see that IPFS_CLUSTER_URL names the REST API of a cluster (port 9094), and IPFS_CLUSTER_TOKEN its credential';
  return await examine(NAME, advice, async () => {
    using cluster = openPinCluster({ url, authorization: token && authorizationOf(token) });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const version = await cluster.version(limit);
    // Of all that it knows nothing of, a cluster says that too: so a token that may only ask for the version is seen.
    await cluster.statuses([NOTHING], limit);
    return [sound(NAME, `version ${version} answers at ${new URL(url).host}`)];
  });
}

/** The empty raw block. */
const NOTHING = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku';
