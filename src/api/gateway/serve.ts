import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { BlockPool, nothingStored, type OpenBlocks } from '../../aggregate/blocks/block-pool.ts';
import { findStoredByRoot, type StoredUpload } from '../../aggregate/blocks/stored-upload.ts';
import type { DB } from '../../db/tables.ts';
import { describeError, LadingError } from '../../errors.ts';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import { IDENTITY } from '../../filecoin/codes.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { parseAnyCid } from '../answers/parse-cid.ts';
import { parseByteRange } from '../pieces/byte-range.ts';
import { pour } from '../pieces/pour.ts';
import { answerStored, answerWalk, blockOf, type CarAnswer } from './answer-car.ts';
import { resolvePath, segmentsOf, type ContentPath } from './content-path.ts';
import { formatOf, type FormatQuery } from './format.ts';
import { matches, rawEtag, setCarHeaders, setRawHeaders, type Asked } from './gateway-headers.ts';
import type { DagScope } from '../../aggregate/blocks/entity-links.ts';

export interface GatewayDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  log: Log;
}

/** Answered side by side, each with a window of some megabytes; more are told to come again. */
const MAX_ANSWERS = 100;

interface Query extends FormatQuery {
  'dag-scope'?: DagScope | undefined;
  'entity-bytes'?: string | undefined;
  filename?: string | undefined;
}

interface GatewayRequest extends Pick<FastifyRequest, 'url' | 'method' | 'headers'> {
  params: { cid: string };
  query: Query;
}

interface Answering {
  request: GatewayRequest;
  reply: FastifyReply;
  signal: AbortSignal;
  asked: Asked;
  at: ContentPath;
}

/** Answers requests for blocks and DAGs; what is known of where blocks lie is kept from one to the next. */
export function createGateway(deps: GatewayDeps) {
  const pool = new BlockPool({ db: deps.kysely, store: deps.store });
  let answers = 0;
  return async (request: GatewayRequest, reply: FastifyReply): Promise<void> => {
    if (answers >= MAX_ANSWERS) {
      const message = 'as many answers as may be are under way: try again later';
      throw new LadingError('UNAVAILABLE', message, { retry: 'later' });
    }
    answers += 1;
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    try {
      const { asked, at } = readAsked(request);
      await answer({ ...deps, pool }, { request, reply, signal: gone.signal, asked, at });
    } finally {
      answers -= 1;
    }
  };
}

function readAsked({ url, params, query }: GatewayRequest): { asked: Asked; at: ContentPath } {
  const { cid: cidText } = params;
  const [path = '', ...queries] = url.split('?');
  const at = { cid: parseAnyCid(cidText), segments: segmentsOf(path) };
  const { filename, format } = query;
  return { asked: { path, cidText, filename, query: queries.join('?'), byAccept: format === undefined }, at };
}

interface Gateway extends GatewayDeps {
  pool: BlockPool;
}

async function answer(gateway: Gateway, answering: Answering): Promise<void> {
  const { query, headers } = answering.request;
  const format = formatOf(query, headers.accept);
  const upload = await findStoredByRoot(gateway.kysely, canonicalCid(answering.at.cid));
  if (format.kind === 'raw') {
    await using open = await openAt(gateway, answering, upload);
    return await sendRaw(answering, open);
  }
  const { 'dag-scope': scope, 'entity-bytes': entityBytes } = query;
  const asked = { ...answering.at, path: answering.asked.path, format, scope, entityBytes };
  const stored = upload && answerStored(gateway, upload, asked);
  if (stored !== undefined) return await sendCar(gateway.log, answering, stored);
  await using open = await openAt(gateway, answering, upload);
  await sendCar(gateway.log, answering, await answerWalk(open, asked));
}

/** The upload of the root, or one that was asked for lately and holds the block. Throws `NOT_FOUND`, `NOT_CACHED`. */
async function openAt(
  { pool }: Gateway,
  { at: { cid }, request, signal }: Answering,
  upload: StoredUpload | undefined,
): Promise<OpenBlocks> {
  if (upload !== undefined) return await pool.open(upload, signal);
  if (cid.multihash.code === IDENTITY) return nothingStored(cid);
  const open = await pool.openHolding(cid, signal);
  if (open !== undefined) return open;
  const onlyIfCached = /(?:^|[ ,])only-if-cached(?:$|[ ,])/i.test(request.headers['cache-control'] ?? '');
  const message = `${cid} is the root of no upload that is stored here, and no block of one that was asked for lately`;
  throw new LadingError(onlyIfCached ? 'NOT_CACHED' : 'NOT_FOUND', message);
}

async function sendCar(log: Log, { request, reply, signal, asked }: Answering, car: CarAnswer): Promise<void> {
  setCarHeaders(reply, asked, car);
  if (matches(request.headers['if-none-match'], car.etag)) return void reply.code(304).send(null);
  if (request.method === 'HEAD') return void reply.send(null);
  try {
    const fault = await pour(reply, car.chunks(signal), signal);
    if (fault === undefined || signal.aborted || isOfClient(fault)) return;
    log.warn({ path: asked.path, err: describeError(fault) }, 'gateway.broken');
  } catch (error) {
    throw unanswered(reply, error);
  }
}

/** A write that fails tells that the client has gone, maybe before its connection is known to be closed. */
function isOfClient(fault: unknown): boolean {
  if (!(fault instanceof Error)) return false;
  return (
    ('syscall' in fault && fault.syscall === 'write') || ('code' in fault && fault.code === 'ERR_STREAM_DESTROYED')
  );
}

/** Nothing has left yet: a refusal is nothing that may be kept. */
function unanswered(reply: FastifyReply, error: unknown): unknown {
  for (const name of Object.keys(reply.getHeaders())) {
    if (/^(?:etag|cache-control|accept-ranges|content-(?:disposition|location|range))$/.test(name))
      reply.removeHeader(name);
  }
  return error;
}

async function sendRaw({ request, reply, asked, at }: Answering, open: OpenBlocks): Promise<void> {
  const { end, roots } = await resolvePath(open, at);
  const etag = rawEtag(end);
  setRawHeaders(reply, asked, { cid: end, roots });
  const { headers, method } = request;
  if (matches(headers['if-none-match'], etag)) return void reply.code(304).send(null);
  const block = await blockOf(open, end);
  verifyBlock(end, block);
  if (method === 'HEAD') return void reply.header('content-length', block.length).send(null);
  const range = rangeOf(headers, etag, block.length);
  if (range.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${block.length}`);
    throw new LadingError('RANGE_NOT_SATISFIABLE', `ask for one range within the ${block.length} bytes of the block`);
  }
  const { start, end: stop } = range.kind === 'part' ? range : { start: 0, end: block.length };
  if (range.kind === 'part') reply.code(206).header('content-range', `bytes ${start}-${stop - 1}/${block.length}`);
  reply.header('content-length', stop - start).send(Buffer.from(block.subarray(start, stop)));
}

/** Several ranges, and what depends on another block, are answered with all of it, as RFC 9110 allows. */
function rangeOf(headers: GatewayRequest['headers'], etag: string, sizeBytes: number) {
  const { range } = headers;
  const isOther = headers['if-range'] !== undefined && headers['if-range'] !== etag;
  return parseByteRange(isOther || range?.includes(',') === true ? undefined : range, sizeBytes);
}
