import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { activateNow, blsKey, makeDeal, publishNow, pushDeals, standingLedger } from './chain-fixture.ts';

describe('the journal', () => {
  /** Everything a reader could ask for, as text. */
  function snapshot(ledger: Ledger): string {
    const { state, store, policy } = ledger.view();
    const tables = [state.accounts, state.miners, state.escrows, state.dataCaps, state.deals, state.sectors].map(
      (table) => [...(table as typeof state.deals).entries()],
    );
    const keys = Array.from({ length: ledger.head().height + 1 }, (_, height) => store.atOrBelow(height).key.join());
    const show = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
    return JSON.stringify({ tables, keys, policy }, show);
  }

  it('gives back the same chain, also when its last line is torn', async () => {
    await using folder = await temporaryFolder();
    const open = () => standingLedger({ dir: join(folder.path, 'chain'), seed: 'kept' });
    const ledger = open();
    ledger.registerMiner({ id: 'f01003', multiaddrs: ['/ip4/127.0.0.1/tcp/4001'] });
    ledger.advance(3);
    const ids = publishNow(ledger, [makeDeal(), makeDeal({ label: 'b', key: blsKey })]);
    activateNow(ledger, ids);
    pushDeals(ledger, [makeDeal({ provider: 'f01003' })], 'f01003');
    ledger.advance(2);
    ledger.reorg({ depth: 3 });
    pushDeals(ledger, [makeDeal({ label: 'in the pool' })]);
    const before = snapshot(ledger);
    const journal = join(folder.path, 'chain', 'chain.jsonl');
    appendFileSync(journal, '{"op":"tipset","hei');

    const again = standingLedger({ dir: join(folder.path, 'chain'), seed: 'not used' });
    expect(snapshot(again)).toBe(before);
    ledger.advance(6);
    again.advance(6);
    expect(snapshot(again)).toBe(snapshot(ledger));
    expect([...again.view().state.deals.entries()]).toHaveLength(4);
  });

  it('goes on from any line as if the process was killed behind it', async () => {
    await using folder = await temporaryFolder();
    const dir = join(folder.path, 'chain');
    const ledger = standingLedger({ dir, seed: 'kept' });
    publishNow(ledger, [makeDeal()]);
    activateNow(ledger, [1n]);
    const lines = readFileSync(join(dir, 'chain.jsonl'), 'utf8').split('\n');
    for (let count = 1; count < lines.length; count += 1) {
      writeFileSync(join(dir, 'chain.jsonl'), `${lines.slice(0, count).join('\n')}\n`);
      const cut = standingLedger({ dir });
      const ticks = lines.slice(0, count).filter((line) => line.includes('"tipset"'));
      expect(cut.head().height).toBe(ticks.length);
    }
  });
});
