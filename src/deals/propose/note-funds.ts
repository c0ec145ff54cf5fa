import { sql } from 'kysely';
import { readClient, type ProposeDeps } from './propose.ts';

/** Keeps what the chain shows of our client's money, for whoever asks how long it lasts. */
export async function noteFunds(
  { db, chain, wallet }: Pick<ProposeDeps, 'db' | 'chain' | 'wallet'>,
  signal: AbortSignal,
): Promise<void> {
  const state = await readClient({ chain, wallet }, signal);
  if (state === undefined) return;
  const { client, headEpoch, funds } = state;
  const row = {
    at: sql<Date>`now()`,
    epoch: BigInt(headEpoch),
    free_escrow: funds.freeEscrow.toString(),
    datacap_bytes: funds.datacapBytes?.toString() ?? null,
  };
  await db
    .insertInto('client_funds')
    .values({ client, ...row })
    .onConflict((conflict) => conflict.column('client').doUpdateSet(row))
    .execute();
}
