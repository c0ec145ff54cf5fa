import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import {
  isKnownUpload,
  listPlacedRuns,
  type PlacedRun,
  type PlacedRunCursor,
} from '../../aggregate/bytes/placed-runs.ts';
import { findSealed } from '../../aggregate/aggregate-rows.ts';
import { listRunBlocks, proveRun, type ProveDeps, type RunProof } from '../../aggregate/bytes/prove.ts';
import { readStoredProof } from '../../aggregate/keep/release/stored-proofs.ts';
import { createGate, type Gate } from '../../chain/gate.ts';
import type { DB } from '../../db/tables.ts';
import { listPublicDeals } from '../../deals/status/deal-list.ts';
import { LadingError } from '../../errors.ts';
import {
  encodeProof,
  encodeProofList,
  proofCid,
  proofListToJson,
  type InclusionProof,
  type ProofList,
} from '../../filecoin/inclusion-proof.ts';
import { canonicalRoot } from '../answers/parse-cid.ts';
import { decodeCursor, encodeCursor, exactly, nullableText, problem } from '../answers/schemas.ts';
import type { Server } from '../answers/typed-server.ts';

export interface ProofDeps extends Pick<ProveDeps, 'store'> {
  kysely: Kysely<DB>;
}

/** A proof may need to hash a whole piece: more at once would only share the one thread that hashes. */
const PROOFS_AT_ONCE = 2;
/** Callers that wait for their turn; more are told to come again. */
const MAX_CALLERS = 32;
/** An upload is in one aggregate, or cut into a few parts; each costs the reading of a piece. */
const PROOFS_PER_ANSWER = 8;
/** An answer ends after the proof that brings its lists to so many CIDs: it is held in memory in both forms. */
const LISTED_BLOCKS_PER_ANSWER = 100_000;

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
const ifNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description: 'ETags of answers that are there already',
      examples: ['"bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae.json"'],
    }),
  ),
});
const proofAnswer = Type.Unsafe<Buffer>(exactly({ items: Type.Array(proofSchema), next: nullableText }));

/** Inclusion proofs of an upload: one, unless it was cut into parts or lies in several aggregates. */
export function proofRoutes(server: Server, deps: ProofDeps): void {
  const gate = createBusyGate();
  server.get(
    '/uploads/:cid/proof',
    {
      config: {
        access: ['upload', 'ops', 'read'],
        errors: ['INVALID_CID', 'INVALID_CURSOR', 'NOT_FOUND', 'NOT_SEALED', 'TOO_MANY_BLOCKS'],
      },
      schema: {
        tags: ['uploads'],
        summary: 'Proofs that an upload is in its pieces',
        description:
          'One proof, unless the upload was cut into parts or lies in several aggregates. As DAG-CBOR where `Accept` asks for it; the ETag is the CID of that form.',
        params: exactly({ cid: Type.String() }),
        querystring: exactly({
          blocks: Type.Optional(Type.Union([Type.Literal('0'), Type.Literal('1')])),
          cursor: Type.Optional(Type.String({ maxLength: 200 })),
        }),
        headers: ifNoneMatch,
        produces: ['application/json', DAG_CBOR_TYPE],
        response: { 200: proofAnswer, 304: Type.Null(), '4xx': problem, '5xx': problem },
      },
    },
    async (request, reply) => {
      const runs = await findRuns(deps, canonicalRoot(request.params.cid), request.query.cursor);
      const signal = clientSignal(reply);
      const prove = (run: PlacedRun) => {
        // A part's order is no CAR's: without the list nobody could lay it out.
        const withBlocks = request.query.blocks === '1' || (run.isPart && request.query.blocks !== '0');
        return gate.run(() => proofOf(deps, run, { withBlocks, signal }));
      };
      return sendProofs(request, reply, await proveSome(runs, prove, signal));
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

/** The proofs of an answer, and where the next one goes on. */
async function proveSome(
  runs: readonly PlacedRun[],
  prove: (run: PlacedRun) => Promise<InclusionProof>,
  signal: AbortSignal,
): Promise<ProofList> {
  const items: InclusionProof[] = [];
  let listed = 0;
  for (const run of runs) {
    signal.throwIfAborted();
    const proof = await prove(run);
    items.push(proof);
    listed += proof.blocks?.length ?? 0;
    if (listed >= LISTED_BLOCKS_PER_ANSWER) break;
  }
  const last = runs[items.length - 1];
  const isWhole = items.length === runs.length && runs.length < PROOFS_PER_ANSWER;
  const next = last === undefined || isWhole ? null : encodeCursor([last.outline.id.toString(), last.seq.toString()]);
  return { items, next };
}

async function findRuns({ kysely }: ProofDeps, root: string, cursor: string | undefined): Promise<PlacedRun[]> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const runs = await listPlacedRuns(kysely, root, { after, limit: PROOFS_PER_ANSWER });
  if (runs.length === 0 && after === undefined) throw await noProof(kysely, root);
  return runs;
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

async function proofOf(deps: ProofDeps, run: PlacedRun, options: ProofOptions): Promise<InclusionProof> {
  const proof = await runProof({ db: deps.kysely, store: deps.store }, run, options);
  const deals = await listPublicDeals(deps.kysely, run.pieceCid);
  const ids = deals.flatMap(({ state, chainDealId }) =>
    state === 'active' && chainDealId !== null ? [Number(chainDealId)] : [],
  );
  return { ...proof, deals: ids.toSorted((a, b) => a - b) };
}

interface ProofOptions {
  withBlocks: boolean;
  signal: AbortSignal;
}

async function runProof(deps: ProveDeps, run: PlacedRun, options: ProofOptions): Promise<RunProof> {
  if (run.isReleased) return storedProof(deps, run, options);
  try {
    return await freshProof(deps, run, options);
  } catch (error) {
    // Its bytes may have been released while they were read.
    const isReleased = (await findSealed(deps.db, run.outline.id))?.releasedAt !== undefined;
    if (!isReleased) throw error;
    return storedProof(deps, run, options);
  }
}

async function freshProof(deps: ProveDeps, run: PlacedRun, { withBlocks, signal }: ProofOptions): Promise<RunProof> {
  // First what may be refused, then what takes long.
  const blocks = withBlocks ? { blocks: await listRunBlocks(deps, run, signal) } : {};
  return { ...(await proveRun(deps, run, signal)), ...blocks };
}

/** Without the bytes the blocks are known only where their order is no CAR's, and nobody could lay them out without. */
async function storedProof(deps: ProveDeps, run: PlacedRun, { withBlocks }: ProofOptions): Promise<RunProof> {
  const { blocks, ...proof } = await readStoredProof(deps, run.outline.id, run.seq);
  return withBlocks && blocks !== undefined ? { ...proof, blocks } : proof;
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
