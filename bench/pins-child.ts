import { startStandInCluster } from '../src/devnet/ipfs-cluster/cluster-server.ts';

/** The stand-in for a cluster, in a process of its own: what it costs is not ours. */
const cluster = await startStandInCluster();
cluster.faults.generous = true;
process.on('message', () =>
  process.send?.({ asked: cluster.asked.length, mostCids: Math.max(0, ...cluster.asked.map(({ cids }) => cids)) }),
);
process.send?.({ url: cluster.url });
// Whoever measures may be killed.
process.on('disconnect', () => process.exit());
