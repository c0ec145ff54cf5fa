import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { createClient } from '../../src/client/client.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { provenUploads } from '../support/proven-upload.ts';
import { installPacked, nodesAtHand, readmeLines } from './packed-client.ts';

const run = promisify(execFile);
const TSC = join(import.meta.dirname, '../../node_modules/typescript/bin/tsc');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-stranger-'));
  await installPacked(folder);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

/** A program bundled for browsers; names of the modules that are in it, and its code. */
async function bundle(program: string): Promise<{ modules: string[]; code: string }> {
  const input = join(folder, 'program.js');
  await writeFile(input, program);
  const built = await build({
    root: folder,
    configFile: false,
    logLevel: 'silent',
    build: { write: false, minify: true, rollupOptions: { input, preserveEntrySignatures: 'strict' } },
  });
  const [result] = [built].flat();
  if (result === undefined || !('output' in result)) throw new Error('nothing was built');
  const chunks = result.output.filter((one) => one.type === 'chunk');
  expect(chunks.flatMap(({ imports, dynamicImports }) => [...imports, ...dynamicImports])).toEqual([]);
  const modules = chunks.flatMap((chunk) => Object.entries(chunk.modules));
  return {
    modules: modules.filter(([, { renderedLength }]) => renderedLength > 0).map(([name]) => name),
    code: chunks.map(({ code }) => code).join('\n'),
  };
}

/** What a bundler puts where code asks for a module of Node. */
const NODE_ONLY = /["'`]node:|__vite-browser-external|\brequire\(/;

/** What a page has, as far as the client needs it: no process, no Buffer, no module of Node. */
function pageGlobals() {
  const { AbortController, AbortSignal, Blob, Headers, ReadableStream, TextDecoder, TextEncoder } = globalThis;
  const platform = { AbortController, AbortSignal, Blob, Headers, ReadableStream, TextDecoder, TextEncoder };
  return { ...platform, URL, URLSearchParams, setTimeout, clearTimeout, document: {} };
}

interface PageClient {
  createClient: typeof createClient;
}

test('a bundle for browsers has nothing of Node in it, and sends and verifies a file where nothing of Node is', async () => {
  const { code } = await bundle(`import * as client from 'lading/client'; globalThis.client = client;`);
  expect(NODE_ONLY.exec(code)?.[0]).toBeUndefined();
  const page = createContext(pageGlobals());
  runInContext(`(() => {${code}})()`, page);
  const { client } = page as unknown as { client: PageClient };
  const [upload] = await provenUploads([sampleUpload('page', 30).blocks]);
  if (upload === undefined) throw new Error('no upload');
  const bodies: Uint8Array[] = [];
  const service: typeof fetch = async (_url, init) => {
    if (init?.body === undefined) return Response.json({ ok: false, error: { code: 'HTTP_ERROR' } }, { status: 404 });
    expect(init.body).toBeInstanceOf(Blob);
    bodies.push(await new Response(init.body).bytes());
    return Response.json({ ok: true, value: { pin: { status: 'pinned' }, deals: [] } });
  };
  const { upload: send, verify } = client.createClient({ url: 'https://lading.example', fetch: service });
  const file = new Blob([Uint8Array.from(upload.car)]);
  expect(await send(file)).toMatchObject({ outcome: 'sent', sentBytes: upload.car.length });
  expect(Buffer.concat(bodies).equals(upload.car)).toBe(true);
  expect(await verify(file, { proofs: [upload.proof] })).toMatchObject({ verified: true });
});

test('a bundle of check alone has only what check needs', async () => {
  const { code, modules } = await bundle(`import { check } from 'lading/client'; globalThis.check = check;`);
  const names = modules.map((name) => name.split('/node_modules/lading/dist/').at(-1));
  expect(
    names.filter((name) => name !== join(folder, 'program.js')).toSorted((a = '', b = '') => a.localeCompare(b)),
  ).toEqual(['client/check.js', 'client/client-error.js', 'client/connection.js', 'client/field-of.js']);
  expect(code.length).toBeLessThan(5_000);
});

test('its types are whole, for Node and for bundlers, without those of Node', async () => {
  await writeFile(
    join(folder, 'stranger.ts'),
    `import { check, ClientError, createClient, type Change, type Deal } from 'lading/client';
    const client = createClient({ url: 'http://localhost', token: 'x' });
    export async function use(file: File): Promise<Deal[]> {
      const { cid, sentBytes } = await client.upload(file, { onProgress: ({ doneBytes }) => doneBytes.toFixed() });
      for await (const change of client.watch([cid])) console.log((change satisfies Change).deal?.miner);
      const report = await client.verify(file, { chain: { url: 'http://localhost' } });
      const [first] = await client.checkMany([cid]);
      // @ts-expect-error there may be no such upload
      (await check({ url: 'http://localhost' }, cid)).deals;
      const code: string = new ClientError('X', 'y').code;
      console.log(sentBytes.toFixed(), report.verified, first?.error?.code, code);
      return (await client.check(cid))?.deals ?? [];
    }`,
  );
  const options = [
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--lib',
    'es2023,dom,dom.asynciterable',
    '--types',
    '',
  ];
  for (const module of [
    ['--module', 'nodenext'],
    ['--module', 'esnext', '--moduleResolution', 'bundler'],
  ]) {
    const { stdout } = await run(process.execPath, [TSC, ...options, ...module, 'stranger.ts'], { cwd: folder }).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe('');
  }
}, 60_000);

test('every Node at hand imports it', async () => {
  const nodes = await nodesAtHand();
  for (const { path } of nodes) {
    const program = `import * as client from 'lading/client'; console.log(Object.keys(client).sort().join());`;
    const { stdout } = await run(path, ['--input-type=module', '-e', program], { cwd: folder });
    expect(stdout.trim().split(',')).toEqual([
      'ClientError',
      'check',
      'checkDeal',
      'checkMany',
      'createClient',
      'proof',
      'proofCid',
      'readProofs',
      'upload',
      'verify',
      'verifyInclusion',
      'verifyUpload',
      'watch',
    ]);
  }
});

test('its command runs where npm has put it', async () => {
  const command = join(folder, 'node_modules', 'lading', 'bin', 'lading.js');
  const { stdout, stderr } = await run(process.execPath, [command, 'help'], { cwd: folder });
  expect(stdout).toContain('lading status CID');
  expect(stderr).toBe('');
}, 30_000);

test('the README shows ten lines', async () => {
  const lines = (await readmeLines()).split('\n').filter((line) => line.trim() !== '' && line.trim() !== '}');
  expect(lines.length).toBeLessThanOrEqual(10);
});
