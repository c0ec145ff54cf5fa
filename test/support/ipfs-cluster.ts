import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { freePort } from '../scenario/network.ts';
import { runOnce, startProgram } from './ipfs-programs.ts';
import type { Kubo } from './kubo.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Peers of one IPFS Cluster on loopback, each before a Kubo of its own. */
export interface RealCluster extends AsyncDisposable {
  /** Of the REST API of the first peer. */
  url: string;
  get(path: string): Promise<unknown>;
  stopPeer(peer: number): Promise<void>;
  startPeer(peer: number): Promise<void>;
}

const SECRET = randomBytes(32).toString('hex');
/** A peer that joined is given pins some seconds later. */
const JOINED_MS = 30_000;

/** With a credential (`user:password`) the REST API wants it. */
export async function startIpfsCluster(
  binary: string,
  nodes: readonly Kubo[],
  credential?: string,
): Promise<RealCluster> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const headers =
    credential === undefined ? {} : { authorization: `Basic ${Buffer.from(credential).toString('base64')}` };
  const peers: Awaited<ReturnType<typeof definePeer>>[] = [];
  const running: (Awaited<ReturnType<typeof startProgram>> | undefined)[] = [];
  stack.defer(async () => {
    for (const program of running) await program?.end();
  });
  const url = () => peers[0]?.url ?? '';
  const get = async (path: string): Promise<unknown> => {
    const text = await (await fetch(`${url()}${path}`, { headers })).text();
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.length === 1 ? JSON.parse(lines[0] ?? '') : lines.map((line): unknown => JSON.parse(line));
  };
  const start = async (at: number) => {
    const peer = peers[at];
    if (peer === undefined) throw new Error(`there is no peer ${at}`);
    const bootstrap = at === 0 ? [] : ['--bootstrap', await addressOfFirst()];
    const ready = async () => (await fetch(`${peer.url}/id`, { headers })).ok;
    running[at] = await startProgram({ binary, args: ['daemon', ...bootstrap], env: peer.env, ready });
  };
  const addressOfFirst = async () => {
    const { id } = (await get('/id')) as { id: string };
    return `/ip4/127.0.0.1/tcp/${peers[0]?.clusterPort}/p2p/${id}`;
  };
  for (const [at, kubo] of nodes.entries()) {
    peers.push(await definePeer(join(folder.path, `peer${at}`), { kubo, at, credential }));
    await runOnce(binary, ['init', '--consensus', 'crdt'], peers[at]?.env ?? {});
    await start(at);
  }
  const deadline = Date.now() + JOINED_MS;
  for (let joined = 0; joined < nodes.length; ) {
    const metrics = (await get('/monitor/metrics/freespace')) as { valid: boolean }[];
    joined = metrics.filter(({ valid }) => valid).length;
    if (Date.now() > deadline) throw new Error(`the peers did not meet: ${JSON.stringify(metrics)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const owned = stack.move();
  return {
    url: url(),
    get,
    stopPeer: async (at) => await running[at]?.end(),
    startPeer: start,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function definePeer(
  path: string,
  { kubo, at, credential }: { kubo: Kubo; at: number; credential?: string | undefined },
) {
  const [clusterPort, restPort, proxyPort, servicePort] = await Promise.all([1, 2, 3, 4].map(freePort));
  const listen = (port: number | undefined) => `/ip4/127.0.0.1/tcp/${port}`;
  const env = {
    IPFS_CLUSTER_PATH: path,
    CLUSTER_SECRET: SECRET,
    CLUSTER_PEERNAME: `peer${at + 1}`,
    CLUSTER_LISTENMULTIADDRESS: listen(clusterPort),
    CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS: listen(restPort),
    CLUSTER_IPFSPROXY_LISTENMULTIADDRESS: listen(proxyPort),
    CLUSTER_PINSVCAPI_HTTPLISTENMULTIADDRESS: listen(servicePort),
    CLUSTER_IPFSHTTP_NODEMULTIADDRESS: listen(kubo.rpcPort),
    CLUSTER_IPFSPROXY_NODEMULTIADDRESS: listen(kubo.rpcPort),
    // A pin that makes no progress for so long is an error: the default of two minutes is a test's whole time.
    CLUSTER_IPFSHTTP_PINTIMEOUT: '8s',
    CLUSTER_MDNSINTERVAL: '0',
    CLUSTER_CRDT_TRUSTEDPEERS: '*',
    CLUSTER_CRDT_CLUSTERNAME: 'test',
    CLUSTER_CRDT_REBROADCASTINTERVAL: '1s',
    // What recovers here, recovers because we ask for it.
    CLUSTER_PINRECOVERINTERVAL: '1h',
    CLUSTER_ENABLERELAYHOP: 'false',
    CLUSTER_MONITORPINGINTERVAL: '2s',
    CLUSTER_DISKINFORMER_METRICTTL: '5s',
    ...(credential !== undefined && {
      CLUSTER_RESTAPI_BASICAUTHCREDENTIALS: credential,
    }),
  };
  return { env, clusterPort, url: `http://127.0.0.1:${restPort}` };
}
