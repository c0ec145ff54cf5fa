import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import { findRestoredKey, findSealedByPiece, type SealedAggregate } from '../../aggregate/aggregate-rows.ts';
import { openStoredCar, openVirtualCar, type VirtualCar } from '../../aggregate/bytes/virtual-car.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { findFetchablePiece } from '../../deals/status/deal-list.ts';
import { describeError, LadingError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { parseByteRange, type ByteRange } from './byte-range.ts';
import { canonicalPiece } from '../answers/parse-cid.ts';
import { createPieceLimits } from './piece-limits.ts';
import { exactly, problem, streamed } from '../answers/schemas.ts';
import { pour } from './pour.ts';
import { serveBytes, serveDeal, type ServeDeps, type Served } from './serve-range.ts';
import type { Server } from '../answers/typed-server.ts';

export interface PieceDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  clock: Clock;
  log: Log;
  /** Bytes a second of all connections together; undefined: no cap. */
  pieceRate?: number | undefined;
  /** Told of bytes of pieces that left. */
  onPieceBytes?(bytes: number): void;
}

const rangeHeaders = Type.Object({
  range: Type.Optional(Type.String({ description: 'one range of bytes', examples: ['bytes=0-1048575'] })),
  'if-range': Type.Optional(
    Type.String({
      description: 'the ETag of the bytes that are there already',
      examples: ['"baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq"'],
    }),
  ),
});

/** What a storage provider downloads: plain bytes by ranges, never compressed, the same at every call. */
export function pieceRoutes(server: Server, deps: PieceDeps): void {
  const config = {
    access: 'piece',
    errors: ['INVALID_CID', 'NOT_FOUND', 'PIECE_RELEASED', 'RANGE_NOT_SATISFIABLE', 'TOO_MANY_CONNECTIONS'],
  } as const;
  const serving: ServeDeps = { ...deps, limits: createPieceLimits({ bytesPerSecond: deps.pieceRate }) };
  const schema = {
    params: exactly({ pieceCid: Type.String() }),
    querystring: exactly({}),
    tags: ['machines'],
    summary: 'The bytes of a piece',
    description:
      'The CAR of an aggregate, whole or by one `Range`. A storage provider comes with the token of its deal, which opens the piece of that deal while something can come of it.',
    produces: ['application/vnd.ipld.car'],
  };
  const failures = { '4xx': problem, '5xx': problem };
  server.get(
    '/piece/:pieceCid',
    { config, schema: { ...schema, headers: rangeHeaders, response: { 200: streamed, 206: streamed, ...failures } } },
    async (request, reply) => {
      const { piece, pieceCid, deal } = await openPiece(request, deps, request.params.pieceCid);
      const range = rangeOf(request, pieceCid, piece);
      const served = { piece, ...setHeaders(reply, { piece, pieceCid, range }) };
      await answer(reply, { serving, served, deal });
      return reply;
    },
  );
  // RFC 9110 gives Range a meaning for GET alone: HEAD tells of the whole.
  server.head(
    '/piece/:pieceCid',
    { config, schema: { ...schema, response: { 200: Type.Null(), ...failures } } },
    async (request, reply) => {
      const { piece, pieceCid } = await openPiece(request, deps, request.params.pieceCid);
      setHeaders(reply, { piece, pieceCid, range: { kind: 'full' } });
      return reply.send(null);
    },
  );
}

async function openPiece(request: FastifyRequest, deps: PieceDeps, text: string) {
  const pieceCid = canonicalPiece(text);
  const deal = await findCallingDeal(request, deps, pieceCid);
  const sealed = await findSealedByPiece(deps.kysely, pieceCid);
  if (sealed === undefined) throw new LadingError('NOT_FOUND', `there is no piece ${pieceCid}`);
  return { piece: await openBytes(deps, sealed), pieceCid, deal };
}

/** Out of the uploads; of a released aggregate as it was fetched back, if it was. */
async function openBytes({ kysely, store }: PieceDeps, sealed: SealedAggregate): Promise<VirtualCar> {
  if (sealed.releasedAt === undefined) return openVirtualCar({ db: kysely, store }, sealed);
  const key = await findRestoredKey(kysely, sealed.id);
  if (key === undefined) throw pieceReleased(sealed.pieceCid);
  return openStoredCar(store, key, sealed.carBytes);
}

function pieceReleased(pieceCid: string): LadingError {
  const message = `the bytes of the piece ${pieceCid} are not kept here any more: its providers have them`;
  return new LadingError('PIECE_RELEASED', message);
}

/** Who fetches, where it is the provider of a deal. */
interface CallingDeal {
  dealId: string;
  provider: string;
}

/** A deal's token opens this deal's piece alone, and only while something can come of the deal. */
async function findCallingDeal(
  { caller }: FastifyRequest,
  { kysely }: PieceDeps,
  pieceCid: string,
): Promise<CallingDeal | undefined> {
  if (caller?.kind !== 'deal') return undefined;
  const { dealId } = caller;
  const open = await findFetchablePiece(kysely, dealId);
  if (open?.pieceCid === pieceCid) return { dealId, provider: open.provider };
  throw new LadingError('FORBIDDEN', `the token of deal ${dealId} does not, or no longer, open this piece`);
}

interface Answering {
  serving: ServeDeps;
  served: Served;
  deal: CallingDeal | undefined;
}

/** Sends the bytes, for as long as the client takes them; its connection counts as one of its provider meanwhile. */
async function answer(reply: FastifyReply, { serving, served, deal }: Answering): Promise<void> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  let release: (() => void) | undefined;
  try {
    if (deal !== undefined) release = serving.limits.connect(deal.provider);
    const bytes =
      deal === undefined
        ? serveBytes(serving, served, gone.signal)
        : serveDeal(serving, { ...served, dealId: deal.dealId }, gone.signal);
    const fault = await pour(reply, bytes, gone.signal);
    if (fault === undefined || gone.signal.aborted) return;
    serving.log.warn({ dealId: deal?.dealId, err: describeError(fault) }, 'piece.broken');
  } catch (error) {
    // Nothing has left yet: the answer is a refusal, and not a part of the piece that may be kept.
    for (const name of ['etag', 'cache-control', 'content-range', 'content-length']) reply.removeHeader(name);
    throw error;
  } finally {
    release?.();
  }
}

function etagOf(pieceCid: string): string {
  return `"${pieceCid}"`;
}

/** If-Range with another ETag, or with a date (we send none), means: give me all if it is not what I have. */
function rangeOf({ headers }: FastifyRequest, pieceCid: string, piece: VirtualCar): ByteRange {
  const condition = headers['if-range'];
  if (condition !== undefined && condition !== etagOf(pieceCid)) return { kind: 'full' };
  return parseByteRange(headers.range, piece.carBytes);
}

interface Headed {
  piece: VirtualCar;
  pieceCid: string;
  range: ByteRange;
}

function setHeaders(reply: FastifyReply, { piece, pieceCid, range }: Headed): { start: number; end: number } {
  const { carBytes } = piece;
  reply.header('accept-ranges', 'bytes');
  if (range.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${carBytes}`);
    throw new LadingError('RANGE_NOT_SATISFIABLE', `ask for one range within the ${carBytes} bytes of the piece`);
  }
  reply.header('etag', etagOf(pieceCid));
  reply.header('cache-control', 'private, no-transform, immutable');
  reply.type('application/vnd.ipld.car; version=1');
  const { start, end } = range.kind === 'part' ? range : { start: 0, end: carBytes };
  if (range.kind === 'part') reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${carBytes}`);
  reply.header('content-length', end - start);
  return { start, end };
}
