import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readExposition } from '../metrics/read-exposition.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { alertWorld } from './alert-world.ts';
import { ALERTS_FILE, findPromtool, runPromtool } from './promtool.ts';

const promtool = findPromtool();

interface Panel {
  title: string;
  type: string;
  gridPos: { h: number; w: number; x: number; y: number };
  targets?: { expr: string }[];
}

async function readPanels(): Promise<Panel[]> {
  const text = await readFile(new URL('../../ops/grafana-dashboard.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { panels: Panel[] }).panels;
}

const expressions = (panels: Panel[]) => panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

test('alerts and panels ask for metrics that a service has, by labels that these have', async () => {
  await using world = await alertWorld();
  world.metrics.counters.providerAnswered({ question: 'propose', outcome: 'refused', refusal: 'busy', ms: 1 });
  const families = readExposition(await world.scrape());
  const questions = [...expressions(await readPanels()), await readFile(ALERTS_FILE, 'utf8')].join('\n');
  const names = new Set([...questions.matchAll(/\b(lading_\w+)/g)].map(([, name = '']) => name));
  expect(names.size).toBeGreaterThan(40);
  for (const name of names) {
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|count|sum)$/, ''));
    expect([name, family?.type]).toEqual([name, expect.any(String)]);
  }
  for (const [, name = '', labels = ''] of questions.matchAll(/\b(lading_\w+)\{([^}]*)\}/g)) {
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|count|sum)$/, ''));
    const known = new Set(family?.samples.flatMap((sample) => Object.keys(sample.labels)));
    if (known.size === 0) continue;
    for (const [, label = ''] of labels.matchAll(/(\w+)(?:=|!)/g))
      expect([name, label, known.has(label)]).toEqual([name, label, true]);
  }
});

test('panels lie side by side, none over another', async () => {
  const taken = new Set<string>();
  for (const { gridPos, title } of await readPanels()) {
    expect([title, gridPos.x + gridPos.w <= 24]).toEqual([title, true]);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect([title, taken.has(`${x} ${y}`)]).toEqual([title, false]);
        taken.add(`${x} ${y}`);
      }
  }
});

test.skipIf(promtool === undefined)('promtool reads every expression of a panel', async () => {
  await using folder = await temporaryFolder();
  const file = join(folder.path, 'panels.yml');
  const rules = expressions(await readPanels()).map((expr, at) => ({ record: `panel:${at}`, expr }));
  expect(rules.length).toBeGreaterThan(30);
  await writeFile(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
  expect(await runPromtool(promtool ?? '', ['check', 'rules', file])).toMatchObject({ status: 0 });
});
