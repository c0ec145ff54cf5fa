import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { DB } from '../../db/tables.ts';
import { EC_FINALITY_EPOCHS } from '../../filecoin/limits.ts';
import { writeAudit, type Act } from '../audit.ts';
import { listCursors, saveCursor } from './chain-cursor-store.ts';

/** How a node's chain compares with what was final when the watch last looked. */
export type FinalityFinding =
  | { kind: 'nothing_final' }
  | { kind: 'agrees'; epoch: number }
  | { kind: 'broken'; epoch: number };

export async function compareFinality(
  db: Kysely<DB>,
  chain: Pick<Chain, 'tipsetAt'>,
  signal: AbortSignal,
): Promise<FinalityFinding> {
  const { finalized } = await listCursors(db);
  if (finalized === undefined) return { kind: 'nothing_final' };
  const { key } = await chain.tipsetAt(finalized.height, signal);
  const kind = key.join() === finalized.tipset.join() ? 'agrees' : 'broken';
  return { kind, epoch: finalized.height };
}

interface Accepted {
  finding: FinalityFinding;
  /** Everything above this epoch is read again; undefined: nothing was to be accepted. */
  above?: number;
}

/**
 * An operator's word that this node's chain is the right one, though it contradicts what was final: the watch takes
 * what lies 900 epochs below as final, and its next pass reads all above it again, as after a reorg.
 */
export async function acceptChain(
  { db, chain, at }: { db: Kysely<DB>; chain: Pick<Chain, 'tipsetAt'>; at: Date },
  { by, reason }: Act,
  signal: AbortSignal,
): Promise<Accepted> {
  const finding = await compareFinality(db, chain, signal);
  if (finding.kind !== 'broken') return { finding };
  const tipset = await chain.tipsetAt(Math.max(0, finding.epoch - EC_FINALITY_EPOCHS), signal);
  const cursor = { height: tipset.height, tipset: tipset.key };
  await db.transaction().execute(async (trx) => {
    for (const name of ['finalized', 'confirmed'] as const) await saveCursor(trx, name, cursor, at);
    const detail = { was: finding.epoch, now: tipset.height };
    await writeAudit(trx, { actor: by, action: 'chain.accept', subject: `epoch ${finding.epoch}`, reason, detail, at });
  });
  return { finding, above: tipset.height };
}
