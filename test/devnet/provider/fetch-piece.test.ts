import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchPiece, type Transfer } from '../../../src/devnet/provider/fetch-piece.ts';
import { receivedBytes } from '../../../src/devnet/provider/piece-chunks.ts';
import { personaOf, type PersonaPatch } from '../../../src/devnet/provider/provider-persona.ts';
import { filesBelow, temporaryFolder } from '../../support/temporary-folder.ts';
import { servePiece } from './piece-server.ts';

const SMALL = randomBytes(300_000);
const LARGE = randomBytes(10 * 1024 * 1024 + 7);

function transferOf(options: { url: string; path: string; size: number; patch?: PersonaPatch }): Transfer {
  let connections = 0;
  return {
    url: options.url,
    headers: { Authorization: 'Bearer t' },
    sizeBytes: options.size,
    path: options.path,
    persona: () => personaOf({ retryMinMs: 1, retryMaxMs: 2, ...options.patch }),
    minHeadAttempts: 1,
    random: () => 0.5,
    signal: new AbortController().signal,
    nextConnection: () => connections++,
  };
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('fetchPiece', () => {
  it('asks HEAD, then one range that ends one past the last byte, with the headers of the deal', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    const path = join(folder.path, 'piece.car');
    await fetchPiece(transferOf({ url: server.url, path, size: SMALL.length }));
    expect(sha(await readFile(path))).toBe(sha(SMALL));
    const common = { authorization: 'Bearer t', acceptEncoding: undefined };
    expect(server.seen).toEqual([
      { method: 'HEAD', range: undefined, ...common },
      { method: 'GET', range: 'bytes=0-300000', ...common },
    ]);
  });

  it('splits from 10 MiB on into five ranges, the last with the remainder, and joins them', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(LARGE);
    const path = join(folder.path, 'piece.car');
    await fetchPiece(transferOf({ url: server.url, path, size: LARGE.length }));
    expect(sha(await readFile(path))).toBe(sha(LARGE));
    expect(await filesBelow(folder.path)).toEqual(['piece.car']);
    const ranges = server.seen.flatMap(({ range }) => range ?? []).sort();
    expect(ranges).toEqual(
      [
        'bytes=0-2097153',
        'bytes=2097153-4194306',
        'bytes=4194306-6291459',
        'bytes=6291459-8388612',
        'bytes=8388612-10485767',
      ].sort(),
    );
  });

  it('goes on where a dropped connection stopped', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    const path = join(folder.path, 'piece.car');
    const patch = { dropConnections: 2, dropOutOf: 3 };
    await fetchPiece(transferOf({ url: server.url, path, size: SMALL.length, patch }));
    expect(sha(await readFile(path))).toBe(sha(SMALL));
    expect(server.seen.map(({ range }) => range)).toEqual([
      undefined,
      'bytes=0-300000',
      'bytes=150000-300000',
      'bytes=225000-300000',
    ]);
  });

  it('goes on when the server cuts connections at random places of a split transfer', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(LARGE);
    let cuts = 0;
    server.intercept = (request, response) => {
      if (request.method === 'HEAD' || (cuts += 1) > 7) return false;
      const start = Number(/=(\d+)/.exec(request.headers.range ?? '')?.[1]);
      response.writeHead(206, { 'content-length': 2_000_000 });
      response.write(LARGE.subarray(start, start + 100_000 * cuts), () => response.destroy());
      return true;
    };
    const path = join(folder.path, 'piece.car');
    await fetchPiece(transferOf({ url: server.url, path, size: LARGE.length }));
    expect(cuts).toBeGreaterThan(7);
    expect(sha(await readFile(path))).toBe(sha(LARGE));
  });

  it('goes on from the chunk files that a killed provider left', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(LARGE);
    const path = join(folder.path, 'piece.car');
    const chunk = 2_097_153;
    // Killed while joining: chunk 1 is in the final file and gone, chunk 2 is half appended, chunk 4 is incomplete.
    await writeFile(path, LARGE.subarray(0, chunk * 2 + 5_000));
    await writeFile(`${path}-2`, LARGE.subarray(chunk * 2, chunk * 3));
    await writeFile(`${path}-3`, LARGE.subarray(chunk * 3, chunk * 4));
    await writeFile(`${path}-4`, LARGE.subarray(chunk * 4, chunk * 4 + 10));
    expect(await receivedBytes({ path, sizeBytes: LARGE.length })).toBe(chunk * 4 + 10);
    await fetchPiece(transferOf({ url: server.url, path, size: LARGE.length }));
    expect(sha(await readFile(path))).toBe(sha(LARGE));
    expect(server.seen.flatMap(({ range }) => range ?? [])).toEqual([`bytes=${chunk * 4 + 10}-${LARGE.length}`]);
    expect(await filesBelow(folder.path)).toEqual(['piece.car']);
  });

  it('asks nothing when the file is there already', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    const path = join(folder.path, 'piece.car');
    await writeFile(path, SMALL);
    await fetchPiece(transferOf({ url: server.url, path, size: SMALL.length }));
    expect(server.seen).toEqual([]);
  });

  it('follows one redirect, and takes the second as the answer', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    server.intercept = (request, response) => {
      if (request.url !== '/once') return false;
      response.writeHead(302, { location: '/piece/x' }).end();
      return true;
    };
    const url = new URL('/once', server.url).href;
    await fetchPiece(transferOf({ url, path: join(folder.path, 'a'), size: SMALL.length }));
    server.intercept = (_, response) => {
      response.writeHead(302, { location: '/again' }).end();
      return true;
    };
    await expect(fetchPiece(transferOf({ url, path: join(folder.path, 'b'), size: SMALL.length }))).rejects.toThrow(
      'http HEAD req failed: code: 302',
    );
  });

  const fatal: [
    string,
    (server: Awaited<ReturnType<typeof servePiece>>) => Partial<Parameters<typeof transferOf>[0]>,
    string,
  ][] = [
    ['another size at HEAD', () => ({ size: SMALL.length + 1 }), 'deal size mismatch: head: 300000, dealInfo: 300001'],
    ['a refused connection at HEAD', () => ({ url: 'http://127.0.0.1:9/' }), 'failed to send HEAD http req'],
    [
      'a literal private address',
      () => ({ url: 'http://192.168.7.7/' }),
      'downloading from private ip addresses is not allowed',
    ],
    [
      'a HEAD that is not 200',
      (server) => {
        server.intercept = (_, response) => Boolean(response.writeHead(404).end());
        return {};
      },
      'http HEAD req failed: code: 404, status: 404 Not Found',
    ],
    [
      '4xx at GET',
      (server) => {
        server.intercept = (request, response) => request.method === 'GET' && Boolean(response.writeHead(403).end());
        return {};
      },
      'http req failed: code: 403, status: 403 Forbidden',
    ],
    [
      '5xx at GET, again and again',
      (server) => {
        server.intercept = (request, response) => request.method === 'GET' && Boolean(response.writeHead(503).end());
        return {};
      },
      'could not finish transfer even after 15 attempts, lastErr: http req failed: code: 503',
    ],
    [
      'a body that ends early without an error',
      (server) => {
        server.intercept = (request, response) =>
          request.method === 'GET' && Boolean(response.writeHead(206).end('short'));
        return {};
      },
      'incomplete chunk file',
    ],
  ];
  it.each(fatal)('fails for good on %s', async (_, arrange, text) => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    const options = { url: server.url, path: join(folder.path, 'piece.car'), size: SMALL.length, ...arrange(server) };
    await expect(fetchPiece(transferOf(options))).rejects.toThrow(text);
  });

  it('keeps the bounded rate', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    const startedMs = performance.now();
    const patch = { fetchBytesPerSecond: 1_500_000 };
    await fetchPiece(transferOf({ url: server.url, path: join(folder.path, 'piece.car'), size: SMALL.length, patch }));
    expect(performance.now() - startedMs).toBeGreaterThan(100);
  });

  it('stops when called off', async () => {
    await using folder = await temporaryFolder();
    await using server = await servePiece(SMALL);
    server.intercept = (request) => request.method === 'GET';
    const stop = new AbortController();
    const transfer = {
      ...transferOf({ url: server.url, path: join(folder.path, 'p'), size: SMALL.length }),
      signal: stop.signal,
    };
    const fetching = fetchPiece(transfer);
    setTimeout(() => stop.abort(new Error('called off')), 30);
    await expect(fetching).rejects.toThrow('called off');
  });
});
