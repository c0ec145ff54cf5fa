import type { ChangeKind, OutboxRow, RowUpload } from './change.ts';

/** What a subscriber wants and may see. What is left out leaves nothing out. */
export interface EventFilter {
  /** Roots of uploads, CIDv1 base32. */
  cids?: readonly string[];
  /** Piece CID, v1. */
  aggregate?: string;
  /** The deal's uuid. */
  deal?: string;
  /** Of the states that a change leads to. */
  states?: readonly string[];
  kinds?: readonly ChangeKind[];
  /** Only uploads that this token name owns, or owned when it happened. */
  owner?: string;
}

/** An open aggregate holds nothing yet; that an owner left is no change of the upload, and names others' tokens. */
function isTold({ kind, to, reasonCode }: OutboxRow): boolean {
  return !(kind === 'aggregate' && to === 'open') && !(kind === 'upload' && reasonCode === 'OWNER_LEFT');
}

/** Pure: may any upload of this row concern the subscriber? What the row itself says, without its uploads. */
export function matchesRow({ aggregate, deal, states, kinds }: EventFilter, row: OutboxRow): boolean {
  if (!isTold(row)) return false;
  if (kinds !== undefined && !kinds.includes(row.kind)) return false;
  if (states !== undefined && !states.includes(row.to)) return false;
  if (deal !== undefined && row.dealId !== deal) return false;
  return aggregate === undefined || (row.kind !== 'upload' && row.pieceCid === aggregate);
}

/** Pure: is this upload one of those that the subscriber wants and may see? */
export function matchesUpload({ cids, owner }: EventFilter, { root, owners }: RowUpload, at: Date): boolean {
  if (cids !== undefined && !cids.includes(root)) return false;
  return owner === undefined || owners.some(({ name, until }) => name === owner && (until === null || until >= at));
}
