import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { packSamples } from '../../src/demo/sample-files.ts';
import { readExposition, valueOf } from '../metrics/read-exposition.ts';
import { startWorld, type World } from '../scenario/world.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { findPromtool, judgeAlerts } from './promtool.ts';

const promtool = findPromtool();

type Families = ReturnType<typeof readExposition>;

/** The database is read every 15 s at most. */
const REREAD_MS = 16_000;
const LIMIT_MS = 60_000;

/** As a scrape gets it, but for how full the disk of this very machine is. */
async function scrape(world: World): Promise<string> {
  const response = await fetch(`${world.url}/metrics`);
  expect(response.status).toBe(200);
  return (await response.text()).replaceAll(/^lading_(store|data)_free_bytes .*\n/gm, '');
}

async function scrapeUntil(world: World, isSeen: (families: Families) => boolean): Promise<string> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const text = await scrape(world);
    if (isSeen(readExposition(text))) return text;
    if (Date.now() > deadline) throw new Error('it was never seen');
    await sleep(250);
  }
}

async function fault(world: World, body: object): Promise<void> {
  const url = new URL('/devnet/faults', world.rpcUrl);
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
}

async function send(world: World, seed: string): Promise<void> {
  for await (const sample of packSamples({ seed, count: 1 })) expect((await world.upload(sample)).status).toBe(200);
}

test.skipIf(promtool === undefined)(
  'on a devnet nothing fires while all is well; providers that refuse, and a node that fails, are told',
  async () => {
    await using folder = await temporaryFolder();
    await using world = await startWorld(folder.path, 'alerts');
    const service = new ServiceProcess(world.env);
    await service.start();
    try {
      await world.prepare();
      const sees = (name: string, labels?: Record<string, string>) =>
        scrapeUntil(world, (families) => (valueOf(families, name, labels) ?? 0) > 0);
      const well = await sees('lading_chain_epoch');

      const ids = ['f01000', 'f01001', 'f01002', 'f01003', 'f01004'];
      await fault(world, { provider: Object.fromEntries(ids.map((id) => [id, { refuse: 'we are full' }])) });
      await send(world, 'refused');
      const refused = await sees('lading_aggregates', { stage: 'sealed' });

      await fault(world, { rpc: { http500: 1 } });
      const failing = await sees('lading_chain_degraded_seconds');
      await sleep(REREAD_MS);
      const later = await scrape(world);

      const chain = ['LadingChainBehind', 'LadingChainDegraded', 'LadingNodeResting'];
      const deals = ['LadingNoProviderTakesDeals', 'LadingProposalsRefused'];
      const growing = ['lading_chain_age_seconds', 'lading_chain_degraded_seconds'];
      const verdict = await judgeAlerts(promtool ?? '', [
        { name: 'well', before: well, after: well, alerts: [] },
        { name: 'refused', before: well, after: refused, alerts: deals },
        { name: 'failing', before: failing, after: later, secondsApart: 16, growing, alerts: chain, among: chain },
      ]);
      expect(verdict).toEqual({ status: 0, output: expect.stringContaining('SUCCESS') });
    } catch (error) {
      console.error(service.log);
      throw error;
    } finally {
      await service.kill();
    }
  },
);
