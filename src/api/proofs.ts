import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import { isKnownUpload, listPlacedRuns, type PlacedRun, type PlacedRunCursor } from '../aggregate/bytes/proof-store.ts';
import { listRunBlocks, proveRun, type ProveDeps } from '../aggregate/bytes/prove.ts';
import { createGate, type Gate } from '../chain/gate.ts';
import type { DB } from '../db/tables.ts';
import { listPublicDeals } from '../deals/status/deal-list.ts';
import { LadingError } from '../errors.ts';
import {
  encodeProof,
  encodeProofList,
  proofCid,
  proofListToJson,
  type InclusionProof,
  type ProofList,
} from '../filecoin/inclusion-proof.ts';
import { canonicalRoot } from './parse-cid.ts';
import { decodeCursor, encodeCursor, exactly, nullableText, problem } from './schemas.ts';
import type { Server } from './typed-server.ts';

export interface ProofDeps extends Pick<ProveDeps, 'store'> {
  kysely: Kysely<DB>;
}

/** A proof may need to hash a whole piece: more at once would only share the one thread that hashes. */
const PROOFS_AT_ONCE = 2;
/** Callers that wait for their turn; more are told to come again. */
const MAX_CALLERS = 32;
/** An upload is in one aggregate, or cut into a few parts; each costs the reading of a piece. */
const PROOFS_PER_ANSWER = 8;

const DAG_CBOR_TYPE = 'application/vnd.ipld.dag-cbor';

const node = Type.Union([Type.String(), Type.Null()]);
const proofSchema = exactly({
  pieceCid: Type.String(),
  pieceSize: Type.Integer(),
  batchRootCid: Type.String(),
  root: Type.String(),
  selector: Type.String(),
  start: Type.Integer(),
  end: Type.Integer(),
  head: Type.String({ description: 'hex' }),
  tail: Type.String({ description: 'hex' }),
  left: Type.Array(node),
  right: Type.Array(node),
  deals: Type.Array(Type.Integer()),
  blocks: Type.Optional(Type.Array(Type.String())),
});
/** Sent as bytes that are written here, in whichever form was asked for. */
const proofAnswer = Type.Unsafe<Buffer>(exactly({ items: Type.Array(proofSchema), next: nullableText }));

/** Inclusion proofs of an upload: one, unless it was cut into parts or lies in several aggregates. */
export function proofRoutes(server: Server, deps: ProofDeps): void {
  const gate = createBusyGate();
  server.get(
    '/uploads/:cid/proof',
    {
      config: { access: ['upload', 'ops', 'read'] },
      schema: {
        params: exactly({ cid: Type.String() }),
        querystring: exactly({
          blocks: Type.Optional(Type.Union([Type.Literal('0'), Type.Literal('1')])),
          cursor: Type.Optional(Type.String({ maxLength: 200 })),
        }),
        produces: ['application/json', DAG_CBOR_TYPE],
        response: { 200: proofAnswer, 304: Type.Null(), '4xx': problem, '5xx': problem },
      },
    },
    async (request, reply) => {
      const { runs, next } = await findRuns(deps, canonicalRoot(request.params.cid), request.query.cursor);
      const withBlocks = request.query.blocks === '1';
      const signal = clientSignal(reply);
      const items: InclusionProof[] = [];
      for (const run of runs) {
        signal.throwIfAborted();
        items.push(await gate.run(() => proofOf(deps, run, { withBlocks, signal })));
      }
      return sendProofs(request, reply, { items, next });
    },
  );
}

/** Refuses callers when too many wait already. */
function createBusyGate(): Gate {
  const gate = createGate(PROOFS_AT_ONCE);
  let callers = 0;
  return {
    async run(task) {
      if (callers >= MAX_CALLERS)
        throw new LadingError('UNAVAILABLE', 'too many proofs are being made; try again later');
      callers += 1;
      try {
        return await gate.run(task);
      } finally {
        callers -= 1;
      }
    },
  };
}

function clientSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client went away'));
  });
  return gone.signal;
}

async function findRuns(
  { kysely }: ProofDeps,
  root: string,
  cursor: string | undefined,
): Promise<{ runs: PlacedRun[]; next: string | null }> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const runs = await listPlacedRuns(kysely, root, { after, limit: PROOFS_PER_ANSWER });
  if (runs.length === 0 && after === undefined) throw await noProof(kysely, root);
  const last = runs.length < PROOFS_PER_ANSWER ? undefined : runs.at(-1);
  const next = last === undefined ? null : encodeCursor([last.outline.id.toString(), last.seq.toString()]);
  return { runs, next };
}

function readCursor(cursor: string): PlacedRunCursor {
  const [aggregateId = '', seq = ''] = decodeCursor(cursor, [/^\d{1,18}$/, /^\d{1,9}$/]);
  return { aggregateId: BigInt(aggregateId), seq: Number(seq) };
}

async function noProof(kysely: Kysely<DB>, root: string): Promise<LadingError> {
  if (!(await isKnownUpload(kysely, root))) return new LadingError('NOT_FOUND', `there is no upload ${root}`);
  const message = `${root} is in no sealed aggregate yet: there is a proof once its aggregate is sealed`;
  return new LadingError('NOT_SEALED', message, { retry: 'later' });
}

async function proofOf(
  deps: ProofDeps,
  run: PlacedRun,
  { withBlocks, signal }: { withBlocks: boolean; signal: AbortSignal },
): Promise<InclusionProof> {
  const proveDeps = { db: deps.kysely, store: deps.store };
  // First what may be refused, then what takes long.
  const blocks = withBlocks ? { blocks: await listRunBlocks(proveDeps, run, signal) } : {};
  const proof = await proveRun(proveDeps, run, signal);
  const deals = await listPublicDeals(deps.kysely, run.pieceCid);
  const ids = deals.flatMap(({ state, chainDealId }) =>
    state === 'active' && chainDealId !== null ? [Number(chainDealId)] : [],
  );
  return { ...proof, deals: ids.toSorted((a, b) => a - b), ...blocks };
}

/** The ETag is the CID of the answer's DAG-CBOR form; `x-proof-cid` names that of each proof by itself, in order. */
function sendProofs({ headers }: FastifyRequest, reply: FastifyReply, list: ProofList): FastifyReply {
  const encoded = encodeProofList(list);
  const asCbor = prefersDagCbor(headers.accept);
  const etag = `"${proofCid(encoded)}${asCbor ? '' : '.json'}"`;
  reply.header('etag', etag);
  reply.header('vary', 'accept');
  reply.header('cache-control', 'private, no-cache');
  reply.header('x-proof-cid', list.items.map((proof) => proofCid(encodeProof(proof)).toString()).join(', '));
  if (headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) return reply.code(304).send();
  if (asCbor) return reply.type(DAG_CBOR_TYPE).send(Buffer.from(encoded));
  return reply.type('application/json; charset=utf-8').send(Buffer.from(JSON.stringify(proofListToJson(list))));
}

/** Whether the caller names DAG-CBOR and does not like JSON better (RFC 9110, Accept). */
export function prefersDagCbor(accept: string | undefined): boolean {
  const qualities = new Map<string, number>();
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    qualities.set(type, Number(quality));
  }
  const asked = qualities.get(DAG_CBOR_TYPE) ?? 0;
  return asked > 0 && asked >= (qualities.get('application/json') ?? 0);
}
