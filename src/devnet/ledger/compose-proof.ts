import { idAddress } from '../../filecoin/address.ts';
import type { ChainCore } from './chain-core.ts';
import type { SignedMessage } from './chain-message.ts';
import { composeMessage } from './compose-message.ts';
import { METHOD_PRE_COMMIT, METHOD_PROVE_COMMIT } from './execute-miner-message.ts';
import { workerKey } from './miner-keys.ts';
import { encodeProveCommit, encodeSectorNumber } from './sector-params.ts';

/** The two messages that prove a sector, or the first deal that is not in the state. */
export type Proof = { preCommit: SignedMessage; prove: SignedMessage; sectorNumber: number } | { missing: bigint };

/** A sector outlives its deals by 60 days, so that none ends in the middle of one. */
const SECTOR_MARGIN_EPOCHS = 172_800;

/** A new sector of this miner with these deals. Both messages land in one tipset: a devnet waits for no randomness. */
export function composeProof(core: ChainCore, minerId: bigint, dealIds: readonly bigint[]): Proof {
  const pieces = [];
  let lastEnd = core.head.height;
  for (const dealId of dealIds) {
    const proposal = core.state.deals.get(dealId)?.proposal;
    if (proposal === undefined) return { missing: dealId };
    pieces.push({ dealId, pieceCid: proposal.pieceCid, pieceBytes: proposal.pieceBytes });
    lastEnd = Math.max(lastEnd, proposal.endEpoch);
  }
  const sectorNumber = (core.sectorNumbers.get(minerId) ?? 0) + 1;
  const params = encodeProveCommit({ sectorNumber, expirationEpoch: lastEnd + SECTOR_MARGIN_EPOCHS, pieces });
  const key = workerKey(core.policy.seed, minerId);
  const to = idAddress(minerId);
  return {
    preCommit: composeMessage(core, key, { to, method: METHOD_PRE_COMMIT, params: encodeSectorNumber(sectorNumber) }),
    prove: composeMessage(core, key, { to, method: METHOD_PROVE_COMMIT, params, nonceOffset: 1 }),
    sectorNumber,
  };
}
