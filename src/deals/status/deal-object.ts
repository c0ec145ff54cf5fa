import type { DealState } from '../../db/tables.ts';
import { unreachable } from '../../errors.ts';
import { epochTime } from '../../filecoin/epoch.ts';
import { dealStates } from '../deal-states.ts';
import { formatOffsetTime } from './time-format.ts';

/** What a time and an address of a deal are written with: genesis of the chain in unix seconds, `f` or `t`. */
export interface DealNetwork {
  genesisSeconds: number;
  addressLetter: 'f' | 't';
}

/** A deal with its aggregate and its place for one upload, as status-store.ts reads it. */
export interface DealRow {
  state: DealState;
  providerId: string;
  changedAt: Date;
  startEpoch: number;
  endEpoch: number;
  chainDealId: bigint | null;
  sectorStartEpoch: number | null;
  reasonCode: string | null;
  reasonText: string | null;
  pieceCid: string;
  batchRoot: string;
  selector: string | null;
}

type PublicStatus = 'queued' | 'active' | 'terminated';

/** The table of docs/status-api.md. */
export interface DealObject {
  status: PublicStatus;
  stage: string;
  lastChanged: string;
  chainDealID: number | null;
  datamodelSelector: string | null;
  statusText: string;
  dealActivation: string;
  dealExpiration: string;
  miner: string;
  pieceCid: string;
  batchRootCid: string;
}

/**
 * What the world sees of a deal in this state; undefined: nothing. A proposal that came to nothing is left out, as what
 * follows it is another deal or `queueing`.
 */
export function publicStatus(state: DealState): PublicStatus | undefined {
  switch (state) {
    case 'signed':
    case 'sent':
    case 'accepted':
    case 'published':
      return 'queued';
    case 'active':
      return 'active';
    case 'expired':
    case 'slashed':
    case 'missed':
      return 'terminated';
    case 'rejected':
    case 'failed':
    case 'abandoned':
      return undefined;
    default:
      return unreachable(state);
  }
}

/** States whose deals are shown, for SQL. */
export const publicDealStates = dealStates.filter((state) => publicStatus(state) !== undefined);

/** Pure. For operators, deals without a public status are shown as `terminated`, with the refusal as their text. */
export function dealObject(row: DealRow, network: DealNetwork): DealObject {
  // Its id is the address of the main network as text.
  const miner = `${network.addressLetter}${row.providerId.slice(1)}`;
  const timeOf = (epoch: number) => formatOffsetTime(epochTime(network.genesisSeconds, epoch), 'seconds');
  return {
    status: publicStatus(row.state) ?? 'terminated',
    stage: row.state,
    lastChanged: formatOffsetTime(row.changedAt, 'microseconds'),
    chainDealID: row.chainDealId === null ? null : Number(row.chainDealId),
    datamodelSelector: row.selector,
    statusText: statusText(row, miner, network),
    dealActivation: timeOf(row.startEpoch),
    dealExpiration: timeOf(row.endEpoch),
    miner,
    pieceCid: row.pieceCid,
    batchRootCid: row.batchRoot,
  };
}

function statusText(row: DealRow, miner: string, network: DealNetwork): string {
  switch (row.state) {
    case 'signed':
      return 'proposal signed, not yet sent';
    case 'sent':
      return `proposal sent, awaiting the answer of ${miner}`;
    case 'accepted':
      return `accepted by ${miner}, awaiting publication on chain${afterReorg(row)}`;
    case 'published':
      return `published as deal ${row.chainDealId}, awaiting its sector${afterReorg(row)}`;
    case 'active':
      return activeText(row, network);
    case 'expired':
    case 'slashed':
    case 'missed':
    case 'rejected':
    case 'failed':
    case 'abandoned':
      return row.reasonText ?? row.reasonCode ?? row.state;
    default:
      return unreachable(row.state);
  }
}

/** A status that goes back says why. */
function afterReorg({ reasonCode, reasonText }: DealRow): string {
  return reasonCode === 'reorg' && reasonText !== null ? ` again: ${reasonText}` : '';
}

function activeText({ sectorStartEpoch }: DealRow, network: DealNetwork): string {
  if (sectorStartEpoch === null)
    throw new Error('an active deal has no sector start: deals_active_has_sector forbids it');
  const time = formatOffsetTime(epochTime(network.genesisSeconds, sectorStartEpoch), 'seconds');
  const utc = time.slice(0, -'+00:00'.length).replace('T', ' ');
  return `containing sector active as of ${utc} at epoch ${sectorStartEpoch}`;
}
