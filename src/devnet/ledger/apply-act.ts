import { parseAddress } from '../../filecoin/address.ts';
import { keyAddress } from '../../filecoin/lotus-key.ts';
import { BURNT_FUNDS_ACTOR_ID, MARKET_ACTOR_ID, type ChainState } from './chain-state.ts';
import type { ChainAct } from './ledger-journal.ts';
import { ownerKey, workerKey } from './miner-keys.ts';

/** What owner and worker of a new miner have for fees, attoFIL. */
const MINER_ALLOWANCE = 1_000n * 10n ** 18n;

/** Acts come from nowhere: their money is made. The height is that below the head, so that readers see it at once. */
export function applyAct(state: ChainState, act: ChainAct, at: { seed: string; height: number }): void {
  if (act.op === 'miner') applyMiner(state, act, at);
  else applyFund(state, act, at.height);
}

/** Accounts that hold what nobody owns: burnt money, and the sum of all escrow. */
export function prepareState(state: ChainState, height: number): void {
  state.addBalance(BURNT_FUNDS_ACTOR_ID, 0n, height);
  state.addBalance(MARKET_ACTOR_ID, 0n, height);
}

function applyMiner(
  state: ChainState,
  act: Extract<ChainAct, { op: 'miner' }>,
  { seed, height }: { seed: string; height: number },
): void {
  const id = BigInt(act.id);
  const isNew = state.miners.get(id) === undefined;
  const owner = state.ensureAccount(keyAddress(ownerKey(seed, id)), height);
  const worker = state.ensureAccount(keyAddress(workerKey(seed, id)), height);
  const { peerId, multiaddrs } = act;
  state.miners.set(id, { owner, worker, peerId, multiaddrs, sectorBytes: BigInt(act.sectorBytes) }, height);
  if (!isNew) return;
  state.addBalance(owner, MINER_ALLOWANCE, height);
  state.addBalance(worker, MINER_ALLOWANCE, height);
  mintEscrow(state, { id, amount: BigInt(act.escrow) }, height);
}

/** The amount goes to the market escrow and once more to the wallet, so that AddBalance can be tried as well. */
function applyFund(state: ChainState, act: Extract<ChainAct, { op: 'fund' }>, height: number): void {
  const address = parseAddress(act.address);
  const id = address.protocol === 0 ? state.idOf(address) : state.ensureAccount(address, height);
  if (id === undefined) return;
  const amount = BigInt(act.attoFil);
  mintEscrow(state, { id, amount }, height);
  if (state.accounts.get(id) !== undefined) state.addBalance(id, amount, height);
  const dataCap = BigInt(act.dataCapBytes);
  if (dataCap > 0n) state.dataCaps.set(id, (state.dataCaps.get(id) ?? 0n) + dataCap, height);
}

function mintEscrow(state: ChainState, { id, amount }: { id: bigint; amount: bigint }, height: number): void {
  state.addEscrow(id, { escrow: amount, locked: 0n }, height);
  state.addBalance(MARKET_ACTOR_ID, amount, height);
}
