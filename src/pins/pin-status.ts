import type { UploadState } from '../db/tables.ts';
import { unreachable } from '../errors.ts';

type PinStatus = 'queued' | 'pinned' | 'failed';

/** Pure. Without an IPFS Cluster the service itself is the pin: pinned once every block is durably stored here. */
export function pinStatus(state: UploadState): PinStatus {
  switch (state) {
    case 'incomplete':
      return 'queued';
    case 'waiting':
    case 'stowed':
      return 'pinned';
    case 'failed':
    case 'removed':
      return 'failed';
    default:
      return unreachable(state);
  }
}
