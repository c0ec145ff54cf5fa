import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Software } from './provider-persona.ts';

/** A piece as a provider serves it. */
export interface ServedPiece {
  /** The file of the CAR. */
  path: string;
  carBytes: number;
  /** What is behind the CAR are zeros. */
  totalBytes: number;
  /** Serves other bytes than those. */
  isWrong: boolean;
}

/** By the piece CID as it stands in the path; undefined: there is none, or none that is unsealed. */
export type PieceFinder = (pieceCid: string) => ServedPiece | undefined;

export interface PieceDoor {
  port: number;
  close(): Promise<void>;
}

const ZEROS = new Uint8Array(65_536);

/** Boost's booster-http, which listens beside it: `/piece/…` and nothing else of it. */
export async function startPieceDoor(find: PieceFinder): Promise<PieceDoor> {
  const server = createServer((request, response) => {
    answerPiece(request, response, { find, software: 'boost' }).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

export interface PieceAnswerer {
  find: PieceFinder;
  software: Software;
}

/** `GET /piece/{pieceCid}` as Go's ServeContent has it under both (booster-http piecehandler.go, curio market/retrieval). */
export async function answerPiece(
  request: IncomingMessage,
  response: ServerResponse,
  { find, software }: PieceAnswerer,
): Promise<void> {
  const pieceCid = /^\/piece\/([^/?]+)$/.exec(request.url ?? '')?.[1];
  const piece = pieceCid === undefined ? undefined : find(pieceCid);
  if (pieceCid === undefined || piece === undefined) {
    response.writeHead(404).end();
    return;
  }
  // Curio serves no content to a HEAD, and its handler breaks on that.
  if (request.method === 'HEAD' && software === 'curio') throw new Error('no content');
  const range = parseRange(request.headers.range, piece.totalBytes);
  if (range === undefined) {
    response.writeHead(416, { 'content-range': `bytes */${piece.totalBytes}` }).end();
    return;
  }
  const { start, end } = range;
  const etag = software === 'boost' ? `"${pieceCid}"` : pieceCid;
  const headers = { etag, vary: 'Accept-Encoding', 'accept-ranges': 'bytes', 'content-length': end - start };
  if (request.headers.range === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${end - 1}/${piece.totalBytes}` });
  if (request.method === 'HEAD') response.end();
  else await pipeline(Readable.from(bytesOf(piece, range)), response);
}

interface Range {
  start: number;
  end: number;
}

function parseRange(header: string | undefined, total: number): Range | undefined {
  if (header === undefined) return { start: 0, end: total };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header) ?? [];
  const start = Number(first);
  const end = last === undefined || last === '' ? total : Math.min(Number(last) + 1, total);
  return first !== undefined && start < end ? { start, end } : undefined;
}

async function* bytesOf({ path, carBytes, isWrong }: ServedPiece, { start, end }: Range): AsyncGenerator<Uint8Array> {
  const carEnd = Math.min(end, carBytes);
  if (start < carEnd) {
    for await (const chunk of createReadStream(path, { start, end: carEnd - 1 }) as AsyncIterable<Buffer>) {
      if (isWrong) chunk[0] = (chunk[0] ?? 0) ^ 1;
      yield chunk;
    }
  }
  for (let at = Math.max(start, carBytes); at < end; at += ZEROS.length) yield ZEROS.subarray(0, end - at);
}
