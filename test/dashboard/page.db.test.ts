import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { loadAssets, staticImports } from '../../src/dashboard/assets.ts';
import { apiFixture, type ApiFixture } from '../support/api-fixture.ts';

/** What issue and operators were promised. */
const FIRST_LOAD_BYTES = 200 * 1024;

async function get({ server }: ApiFixture, url: string, headers: Record<string, string> = {}) {
  return await server.inject({ url, headers });
}

function addressesIn(html: string): string[] {
  return [...html.matchAll(/(?:src|href)="(\/dashboard\/assets\/[^"]+)"/g)].map(([, address = '']) => address);
}

test('every path below /dashboard is the page, and it says what it may load', async () => {
  await using fixture = await apiFixture();
  const pages = await Promise.all(
    ['/dashboard', '/dashboard/', '/dashboard/deals/7?state=active'].map((url) => get(fixture, url)),
  );
  for (const { statusCode, headers, body } of pages) {
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(body).toBe(pages[0]?.body);
  }
  const policy = String(pages[0]?.headers['content-security-policy']);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
});

test('what has it already is sent nothing', async () => {
  await using fixture = await apiFixture();
  const first = await get(fixture, '/dashboard', { 'accept-encoding': 'br' });
  const again = await get(fixture, '/dashboard', {
    'accept-encoding': 'br',
    'if-none-match': String(first.headers.etag),
  });
  expect([again.statusCode, again.body]).toEqual([304, '']);
  expect(first.headers['cache-control']).toBe('no-cache');
  const [address = ''] = addressesIn((await get(fixture, '/dashboard')).body);
  expect((await get(fixture, address)).headers['cache-control']).toContain('immutable');
});

test('the first load is small, and all that is named in it is there', async () => {
  await using fixture = await apiFixture();
  const page = await get(fixture, '/dashboard', { 'accept-encoding': 'gzip, br' });
  const html = brotliDecompressSync(page.rawPayload).toString();
  const overview = staticImports(loadAssets(), 'overview/overview-page.ts').map(
    (path) => `/dashboard/assets/${loadAssets().build}/${path}`,
  );
  const addresses = [...new Set([...addressesIn(html), ...overview])];
  let bytes = page.rawPayload.length;
  for (const address of addresses) {
    const response = await get(fixture, address, { 'accept-encoding': 'gzip, br' });
    expect([address, response.statusCode, response.headers['content-encoding']]).toEqual([address, 200, 'br']);
    bytes += response.rawPayload.length;
  }
  expect(addresses.length).toBeGreaterThan(20);
  expect(bytes).toBeLessThan(FIRST_LOAD_BYTES / 2);
});

test('every module that a module names is served as a script without types', async () => {
  await using fixture = await apiFixture();
  const { build, files } = loadAssets();
  const modules = [...files.values()].filter(({ type }) => type.startsWith('text/javascript'));
  expect(modules.length).toBeGreaterThan(50);
  for (const { path, body } of modules) {
    const text = body.toString();
    // As the import map and relative paths have them, read anew here.
    for (const [, name = ''] of text.matchAll(/(?:from|import\()\s*['"](\.[^'"]+)['"]/g)) {
      const url = new URL(name, `http://host/dashboard/assets/${build}/${path}`).pathname;
      expect([path, name, (await get(fixture, url)).statusCode]).toEqual([path, name, 200]);
    }
    for (const [, name = ''] of text.matchAll(/^import[^;]*?from\s*['"]([^.'"][^'"]*)['"]/gm)) {
      expect([path, ['preact', 'preact/hooks', 'htm', 'htm/preact', 'uplot'].includes(name)]).toEqual([path, true]);
    }
    expect([path, /^(export )?interface /m.test(text)]).toEqual([path, false]);
  }
});

test('nothing else of the machine is served', async () => {
  await using fixture = await apiFixture();
  const { build } = loadAssets();
  const base = `/dashboard/assets/${build}`;
  const paths = [
    `${base}/../routes.ts`,
    `${base}/..%2froutes.ts`,
    `${base}/%2e%2e/%2e%2e/config.ts`,
    `${base}/tsconfig.json`,
    `${base}/README.md`,
    `${base}/`,
    '/dashboard/assets/anotherbuild/main.ts',
  ];
  for (const path of paths) {
    const { statusCode, body } = await get(fixture, path);
    // What a browser makes of `..` may be the page itself.
    expect([path, statusCode === 404 || body.startsWith('<!doctype html>')]).toEqual([path, true]);
  }
});

test('who takes no brotli gets gzip, and who takes nothing gets it plain', async () => {
  await using fixture = await apiFixture();
  const plain = await get(fixture, '/dashboard');
  expect(plain.headers['content-encoding']).toBeUndefined();
  const zipped = await get(fixture, '/dashboard', { 'accept-encoding': 'gzip;q=0.5, br;q=0' });
  expect(zipped.headers['content-encoding']).toBe('gzip');
  expect(gunzipSync(zipped.rawPayload).toString()).toBe(plain.body);
  expect(zipped.headers.vary).toContain('Accept-Encoding');
  expect(zipped.headers.etag).not.toBe(plain.headers.etag);
});
