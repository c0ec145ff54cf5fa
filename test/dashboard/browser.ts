import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { expect } from 'vitest';

/** As Debian installs it. */
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
/** Where pictures of all pages are left to be looked at; unset: none are taken. */
const PICTURES = process.env['DASHBOARD_PICTURES'];

/** Undefined, with the reason on standard error, where there is no browser. */
export function findChromium(): string | undefined {
  if (existsSync(CHROMIUM)) return CHROMIUM;
  if (process.env['CHROMIUM'] !== undefined) throw new Error(`CHROMIUM names ${CHROMIUM}, which is not there`);
  console.error(`\n!!! THE DASHBOARD IS NOT TESTED: there is no ${CHROMIUM}. Debian: apt-get install chromium.\n`);
  return undefined;
}

export interface Visitor extends AsyncDisposable {
  page: Page;
  context: BrowserContext;
  /** What the browser complained of, with the page on which it did. */
  complaints: string[];
  /** Compressed bytes that came over the line since the last call. */
  takeBytes(): number;
  go(path: string): Promise<void>;
  logIn(token: string): Promise<void>;
}

/** A person with a browser of their own at this service. */
export async function visit(executablePath: string, url: string, token?: string): Promise<Visitor> {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    acceptDownloads: true,
    baseURL: url,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  let bytes = 0;
  const note = (what: string) => void complaints.push(`${page.url().slice(url.length)}: ${what}`);
  page.on('console', (message) => message.type() === 'error' && note(message.text()));
  page.on('pageerror', (error) => note(error.message));
  const wire = await context.newCDPSession(page);
  await wire.send('Network.enable');
  wire.on('Network.loadingFinished', ({ encodedDataLength }) => void (bytes += encodedDataLength));
  const go = async (path: string) => {
    await page.goto(path);
    await settled(page);
  };
  const visitor: Visitor = {
    page,
    context,
    complaints,
    takeBytes: () => [bytes, (bytes = 0)][0] ?? 0,
    go,
    async logIn(given) {
      await page.goto('/dashboard');
      await page.getByLabel('Token').fill(given);
      await page.getByRole('button', { name: 'Log in' }).click();
      await settled(page);
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
  if (token !== undefined) await visitor.logIn(token);
  return visitor;
}

/** The page has its title, and nothing of it is being waited for. */
export async function settled(page: Page): Promise<void> {
  await page.locator('.page h1').waitFor();
  await expect.poll(() => page.locator('.loading').count()).toBe(0);
}

/** What keeps somebody from using a page: told by axe, of the whole of it. */
async function barriersOf(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
}

/** What a window that was made narrower takes to settle, and a menu to slide away. */
const SETTLES_MS = 3_000;

/** Pixels by which the page is wider than the window, once it has settled: it would scroll sideways. */
async function overflowOf(page: Page): Promise<number> {
  const excess = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
  const deadline = performance.now() + SETTLES_MS;
  for (;;) {
    const pixels = (await page.evaluate(excess)) as number;
    if (pixels <= 0 || performance.now() > deadline) return pixels;
    await page.waitForTimeout(50);
  }
}

const LOOKS = [
  { theme: 'light', width: 1280 },
  { theme: 'dark', width: 1280 },
  { theme: 'light', width: 360 },
] as const;

/** What is wrong with the page as it is, light and dark, wide and narrow, for whoever uses it. */
export async function inspect({ page, complaints }: Visitor, name: string): Promise<string[]> {
  const wrong: string[] = [];
  for (const { theme, width } of LOOKS) {
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize({ width, height: 900 });
    const look = `${name}, ${theme}, ${width} px`;
    // What is told and in which colours is the same on a narrow one.
    if (width > 360) for (const barrier of await barriersOf(page)) wrong.push(`${look}: ${barrier}`);
    const excess = await overflowOf(page);
    if (excess > 0) wrong.push(`${look}: ${excess} px too wide`);
    await takePicture(page, `${name}-${theme}-${width}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 900 });
  return [...wrong, ...complaints.splice(0)];
}

async function takePicture(page: Page, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  await mkdir(PICTURES, { recursive: true });
  await page.evaluate('scrollTo(0, 0)');
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true, animations: 'disabled' });
}

/** Figures of a table as a person reads them, row by row, by their headings. */
export async function readTable(page: Page, label: string): Promise<Record<string, string>[]> {
  const table = page.getByRole('table', { name: label });
  const headers = await table.locator('thead th').allInnerTexts();
  const rows: Record<string, string>[] = [];
  for (const row of await table.locator('tbody tr').all()) {
    const cells = await row.locator('td').allTextContents();
    rows.push(Object.fromEntries(headers.map((header, at) => [header, (cells[at] ?? '').trim()])));
  }
  return rows;
}
