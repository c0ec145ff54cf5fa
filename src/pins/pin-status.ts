import type { PinStatus as StoredStatus, UploadState } from '../db/tables.ts';
import { unreachable } from '../errors.ts';

/** As it is told. */
type PinStatus = Exclude<StoredStatus, 'unpinned'>;

/** What is known of an upload that bears on its pin. */
interface PinFacts {
  state: UploadState;
  /** Its bytes are in the store, and sound; or they were let go on purpose (RETENTION), and its deals hold them. */
  isKept: boolean;
  /** Of its pin in the IPFS Cluster; null: it has none yet. */
  pin: StoredStatus | null;
}

/** Pure. Where an IPFS Cluster is configured its word counts, and else the service itself is the pin. */
export function pinStatus(facts: PinFacts, inCluster: boolean): PinStatus {
  if (inCluster && facts.pin !== null) return facts.pin === 'unpinned' ? 'failed' : facts.pin;
  switch (facts.state) {
    case 'incomplete':
      return 'queued';
    case 'waiting':
    case 'stowed':
      if (inCluster) return 'queued';
      return facts.isKept ? 'pinned' : 'failed';
    case 'failed':
    case 'removed':
      return 'failed';
    default:
      return unreachable(facts.state);
  }
}
