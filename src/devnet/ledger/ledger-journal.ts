import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { StoredMessage } from './chain-message.ts';
import type { ChainPolicy } from './chain-policy.ts';
import { openJournal } from '../provider/provider-journal.ts';

/** Everything that ever moved the chain, in order. Big numbers are decimal text, bytes base64. */
export type LedgerEntry =
  | ({ op: 'genesis' } & Omit<ChainPolicy, 'collateralPerGib'> & { collateralPerGib: string })
  | { op: 'tipset'; height: number }
  /** All rounds up to the tipset at `height`; so large a share of the empty ones is null. */
  | { op: 'stretch'; height: number; nullRounds: number }
  | ({ op: 'push' } & StoredMessage)
  | ReorgEntry
  | ChainAct;

export interface ReorgEntry {
  op: 'reorg';
  depth: number;
  reland: boolean;
  reuseIds: boolean;
}

/** What the control door and the providers' registration do to the state without a message. */
export type ChainAct =
  | {
      op: 'miner';
      id: string;
      peerId: string | undefined;
      multiaddrs: readonly string[];
      sectorBytes: string;
      escrow: string;
    }
  | { op: 'fund'; address: string; attoFil: string; dataCapBytes: string };

export interface LedgerJournal {
  readonly entries: readonly LedgerEntry[];
  append(entry: LedgerEntry): void;
}

const JOURNAL_FILE = 'chain.jsonl';

/** The journal in a folder, which is made when it is not there; without a folder nothing is kept. */
export function openLedgerJournal(dir: string | undefined): LedgerJournal {
  if (dir === undefined) return { entries: [], append: () => undefined };
  if (!existsSync(dir)) mkdirSync(dir, { recursive: true });
  return openJournal<LedgerEntry>(join(dir, JOURNAL_FILE));
}
