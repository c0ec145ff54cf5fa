import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { alertCases } from './alert-cases.ts';
import { alertWorld } from './alert-world.ts';
import { alertNames, ALERTS_FILE, findPromtool, judgeAlerts, runPromtool, type Expected } from './promtool.ts';

const promtool = findPromtool();

test.skipIf(promtool === undefined)('promtool takes the rules, and the metrics of a service', async () => {
  expect(await runPromtool(promtool ?? '', ['check', 'rules', ALERTS_FILE])).toMatchObject({ status: 0 });
  await using world = await alertWorld();
  const text = await world.scrape();
  expect(await runPromtool(promtool ?? '', ['check', 'metrics'], text)).toEqual({ status: 0, output: '' });
  const seen = { before: text, after: text };
  const sound = await judgeAlerts(promtool ?? '', [{ ...seen, name: 'all is well', alerts: [] }]);
  expect(sound).toMatchObject({ status: 0 });
  // The judge itself says no where it should.
  const unsound = await judgeAlerts(promtool ?? '', [{ ...seen, name: 'all is well', alerts: ['LadingDiskLow'] }]);
  expect(unsound.output).toContain('FAILED');
});

test.skipIf(promtool === undefined).for(alertCases)(
  '$alerts: silent close to it, and told beyond, by what /metrics shows',
  async ({ alerts, close, beyond, growing = [] }) => {
    await using world = await alertWorld();
    const first = await world.scrape();
    await close(world);
    const second = await world.scrape();
    await beyond(world);
    const third = await world.scrape();
    const expected: Expected[] = [
      { name: 'close', before: first, after: second, growing, alerts: [] },
      { name: 'beyond', before: second, after: third, growing, alerts },
    ];
    const { status, output } = await judgeAlerts(promtool ?? '', expected);
    expect([status, output]).toEqual([0, expect.stringContaining('SUCCESS')]);
  },
);

test('each alert has a case in which it fires, and a page that says what to do', async () => {
  const names = await alertNames();
  expect(names.length).toBeGreaterThan(25);
  expect(new Set(alertCases.flatMap(({ alerts }) => alerts))).toEqual(new Set(names));
  const text = await readFile(ALERTS_FILE, 'utf8');
  for (const rule of text.split(/^ +- alert: /m).slice(1)) {
    const [name = ''] = rule.split('\n');
    const [, page = ''] = /^ +runbook: (docs\/runbooks\/[a-z-]+\.md)$/m.exec(rule) ?? [];
    const told = await readFile(new URL(`../../${page}`, import.meta.url), 'utf8');
    expect([name, told.includes(name)]).toEqual([name, true]);
  }
});
