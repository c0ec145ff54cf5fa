import { expect, test } from 'vitest';
import { noteFunds } from '../../../src/deals/propose/note-funds.ts';
import { testDatabase } from '../../support/database.ts';

const never = new AbortController().signal;
const wallet = { address: async () => 'f1client', sign: async () => Promise.reject(new Error('nothing is signed')) };

function chainOf(facts: {
  height: number;
  escrow: bigint;
  locked: bigint;
  datacap: bigint | undefined;
  known?: boolean;
}) {
  const unused = async () => Promise.reject(new Error('nobody asks'));
  return {
    head: async () => ({ height: facts.height, key: ['bafyhead'], timestampSeconds: 0, parents: [] }),
    lookupId: async () => (facts.known === false ? undefined : 'f01'),
    marketBalance: async () => ({ escrow: facts.escrow, locked: facts.locked }),
    verifiedClientStatus: async () => facts.datacap,
    minerInfo: unused,
    providerCollateralBounds: unused,
  };
}

test('what the chain shows of our money is kept: the last of it, and nothing of a client that it does not know', async () => {
  await using db = await testDatabase();
  const look = async (facts: Parameters<typeof chainOf>[0]) => {
    await noteFunds({ db: db.kysely, chain: chainOf(facts), wallet }, never);
    return (
      await db.pool.query(
        "select client, epoch::integer, free_escrow, datacap_bytes, at > now() - interval '1 minute' as fresh from client_funds",
      )
    ).rows;
  };
  expect(await look({ height: 5, escrow: 10n, locked: 4n, datacap: 9n, known: false })).toEqual([]);
  const first = { client: 'f1client', epoch: 5, free_escrow: '6', datacap_bytes: '9', fresh: true };
  expect(await look({ height: 5, escrow: 10n, locked: 4n, datacap: 9n })).toEqual([first]);
  const later = { ...first, epoch: 7, free_escrow: (10n ** 24n - 1n).toString(), datacap_bytes: null };
  expect(await look({ height: 7, escrow: 10n ** 24n, locked: 1n, datacap: undefined })).toEqual([later]);
  const { rows } = await db.pool.query('select what, free from ops_runway');
  expect(rows).toEqual([{ what: 'balance', free: (10n ** 24n - 1n).toString() }]);
});
