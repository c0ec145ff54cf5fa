import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { FIL_COMMITMENT_UNSEALED, SHA2_256_TRUNC254_PADDED } from '../../filecoin/codes.ts';
import { dealEvent, sectorActivatedEvent, sectorEvent } from './actor-event.ts';
import {
  EXIT_ILLEGAL_ARGUMENT,
  EXIT_NOT_FOUND,
  EXIT_UNHANDLED,
  partiesOf,
  type ExecutionContext,
  type Outcome,
} from './actor-outcome.ts';
import type { ChainMessage } from './chain-message.ts';
import { MARKET_ACTOR_ID, sectorKey, type ChainState } from './chain-state.ts';
import { activationFault, applyActivation, applyTermination } from './market-deals.ts';
import { decodeProveCommit, decodeSectorNumber, type ProveCommitParams } from './sector-params.ts';
import { drawBytes } from '../seeded-draw.ts';

/** Method numbers of a miner actor. */
export const METHOD_PRE_COMMIT = 28n;
export const METHOD_PROVE_COMMIT = 34n;
export const METHOD_TERMINATE = 9n;

const COMMITMENT_BYTES = 32;

interface MinerCall {
  minerId: bigint;
  message: ChainMessage;
}

/** A call of a miner's owner or worker. Throws FormatError for parameters that cannot be read. */
export function executeMinerMessage(context: ExecutionContext, { minerId, message }: MinerCall): Outcome {
  const { method, params } = message;
  if (method === METHOD_PRE_COMMIT) {
    const sectorNumber = decodeSectorNumber(params);
    return { exitCode: 0, events: [sectorEvent('sector-precommitted', { minerId, sectorNumber })] };
  }
  if (method === METHOD_PROVE_COMMIT) return proveCommit(context, minerId, decodeProveCommit(params));
  if (method === METHOD_TERMINATE) return terminate(context, minerId, decodeSectorNumber(params));
  return { exitCode: EXIT_UNHANDLED, error: `a miner actor has no method ${method}` };
}

/** Why a sector with these deals cannot be proven at `epoch`; undefined when it can. */
export function proofFault(
  state: ChainState,
  { sectorNumber, pieces }: ProveCommitParams,
  at: { minerId: bigint; epoch: number },
): string | undefined {
  if (state.sectors.get(sectorKey(at.minerId, sectorNumber)) !== undefined) {
    return `sector ${sectorNumber} is proven already`;
  }
  if (new Set(pieces.map(({ dealId }) => dealId)).size < pieces.length) return 'a deal comes twice';
  for (const { dealId, pieceCid, pieceBytes } of pieces) {
    const fault = activationFault(state, dealId, at);
    if (fault !== undefined) return fault;
    const proposal = state.deals.get(dealId)?.proposal;
    if (proposal?.pieceBytes !== pieceBytes || !proposal.pieceCid.equals(pieceCid)) {
      return `deal ${dealId} is for another piece`;
    }
  }
  const used = pieces.reduce((sum, { pieceBytes }) => sum + pieceBytes, 0n);
  const room = state.miners.get(at.minerId)?.sectorBytes ?? 0n;
  return used > room ? `the pieces take ${used} bytes of a sector of ${room}` : undefined;
}

function proveCommit(context: ExecutionContext, minerId: bigint, params: ProveCommitParams): Outcome {
  const { state, height, policy } = context;
  const { sectorNumber, expirationEpoch, pieces } = params;
  const fault = proofFault(state, params, { minerId, epoch: height });
  if (fault !== undefined) return { exitCode: EXIT_ILLEGAL_ARGUMENT, error: fault };
  const spaceTime = (verified: boolean): bigint =>
    pieces
      .filter(({ dealId }) => state.deals.get(dealId)?.proposal.verified === verified)
      .reduce((sum, { pieceBytes }) => sum + pieceBytes * BigInt(expirationEpoch - height), 0n);
  const sector = {
    activationEpoch: height,
    expirationEpoch,
    dealIds: pieces.map(({ dealId }) => dealId),
    dealWeight: spaceTime(false),
    verifiedDealWeight: spaceTime(true),
  };
  state.sectors.set(sectorKey(minerId, sectorNumber), sector, height);
  const activated = pieces.flatMap(({ dealId }) => {
    const deal = applyActivation(state, dealId, { sectorNumber, epoch: height });
    return deal === undefined ? [] : [dealEvent('deal-activated', { id: dealId, ...partiesOf(deal) }, MARKET_ACTOR_ID)];
  });
  const content = {
    unsealedCid: unsealedCid(`${policy.seed}/${sectorKey(minerId, sectorNumber)}`),
    pieces: pieces.map(({ pieceCid, pieceBytes }) => ({ cid: pieceCid, bytes: pieceBytes })),
  };
  return { exitCode: 0, events: [...activated, sectorActivatedEvent({ minerId, sectorNumber }, content)] };
}

/** Deals that reached their end are none of a termination's business; the others leave the state at once. */
function terminate({ state, height }: ExecutionContext, minerId: bigint, sectorNumber: number): Outcome {
  const key = sectorKey(minerId, sectorNumber);
  const sector = state.sectors.get(key);
  if (sector === undefined) return { exitCode: EXIT_NOT_FOUND, error: `there is no sector ${sectorNumber}` };
  state.sectors.set(key, undefined, height);
  const terminated = sector.dealIds.flatMap((id) => {
    const deal = state.deals.get(id);
    if (deal === undefined || height >= deal.proposal.endEpoch) return [];
    applyTermination(state, id, height);
    return [dealEvent('deal-terminated', { id, ...partiesOf(deal) }, MARKET_ACTOR_ID)];
  });
  return { exitCode: 0, events: [...terminated, sectorEvent('sector-terminated', { minerId, sectorNumber })] };
}

/** Stands for the commitment of the whole sector, which nobody here computes. */
function unsealedCid(label: string): CID {
  const digest = drawBytes(label, 'unsealed', COMMITMENT_BYTES);
  // Commitments are elements of a field of 254 bits, so that their two top bits are zero.
  digest[31] = (digest[31] ?? 0) & 0x3f;
  return CID.createV1(FIL_COMMITMENT_UNSEALED, createDigest(SHA2_256_TRUNC254_PADDED, digest));
}
