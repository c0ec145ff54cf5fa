import type { Logger } from 'pino';
import type { Address } from '../../filecoin/address.ts';
import type { HashPool } from './hash-pool.ts';
import type { DealBook } from './provider-deals.ts';
import type { LedgerPort } from '../ledger/ledger-port.ts';
import type { Persona } from './provider-persona.ts';

/** What the parts of one provider share. */
export interface ProviderContext {
  /** `f01000`. */
  id: string;
  address: Address;
  /** Holds one file per piece, named by the deal's uuid. */
  piecesFolder: string;
  /** As it is now; faults change it while the provider runs. */
  persona: () => Persona;
  ledger: LedgerPort;
  book: DealBook;
  hashes: HashPool;
  random: () => number;
  now: () => Date;
  /** Told of each well-formed proposal that came, taken or not: provider id, deal uuid, ClientDealProposal. */
  onProposal: (provider: string, dealUuid: string, signedProposal: Uint8Array) => void;
  log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Aborted when the provider closes. */
  signal: AbortSignal;
}
