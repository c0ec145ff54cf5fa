import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { ReceiveInput, Received } from '../../aggregate/receive/receive.ts';
import { callerName } from '../door/auth.ts';
import { decodeBody } from './decode-body.ts';
import type { ErrorCode } from '../answers/error-codes.ts';
import { giveBackChunks } from './give-back-chunks.ts';
import { findOwnAnswer, ownAnswer, ownUploadSchema } from './own-uploads.ts';
import { CAR_TYPES, isForm, packOf } from './pack-body.ts';
import { compatibleError, exactly } from '../answers/schemas.ts';
import { statusAnswer, type StatusDeps } from './status-answer.ts';
import type { Server } from '../answers/typed-server.ts';

export interface UploadDeps extends StatusDeps {
  /** aggregate/receive/receive.ts, with its dependencies given. */
  receiveCar(input: ReceiveInput): Promise<Received>;
}

/** What may be wrong with a body, or with the store that takes it. */
const receiveErrors: readonly ErrorCode[] = [
  'BLOCK_INVALID',
  'CAR_CID_INVALID',
  'CAR_HEADER_INVALID',
  'CAR_MANY_ROOTS',
  'CAR_NO_ROOT',
  'CAR_PAYLOAD_MISSING',
  'CAR_SECTION_EMPTY',
  'CAR_SECTION_TOO_LARGE',
  'CAR_TRUNCATED',
  'CAR_VARINT_INVALID',
  'CAR_VERSION_UNSUPPORTED',
  'DAG_TOO_DEEP',
  'DUPLICATE_PATH',
  'EMPTY_UPLOAD',
  'ENCODING_BROKEN',
  'EXPANSION_TOO_LARGE',
  'FORM_BROKEN',
  'FORM_FIELD',
  'HASH_MISMATCH',
  'IDENTITY_CID_TOO_LARGE',
  'NETWORK_UNKNOWN',
  'PART_TOO_SCATTERED',
  'PATH_INVALID',
  'ROOT_NOT_IN_CAR',
  'ROOT_TOO_LONG',
  'STORE_FULL',
  'STORE_QUOTA',
  'STORE_UNAVAILABLE',
  'TOO_MANY_BLOCKS',
  'TOO_MANY_FILES',
  'TOO_MANY_LINKS',
  'UNKNOWN_CODEC',
  'UNKNOWN_HASH',
  'UPLOAD_TOO_LARGE',
];

export function uploadRoutes(server: Server, deps: UploadDeps): void {
  // A scope of its own: here alone bodies are handed on unread.
  server.register(async (scope: Server) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.post(
      '/upload',
      {
        config: { access: ['upload'], compatible: true, errors: receiveErrors },
        schema: {
          summary: 'Send an upload',
          description:
            'A CAR with one root, or a part of one: parts of a root make it complete together. A body of multipart/form-data is a directory of its files, each under its file name, and one of any other type a file: both are packed as the nft.storage client packs them, with the same CID. Sending it again changes nothing. Answered once all of it is on disk.',
          tags: ['uploads'],
          consumes: [...CAR_TYPES, 'multipart/form-data', '*/*'],
          querystring: exactly({}),
          response: {
            200: exactly({ ok: Type.Literal(true), value: ownUploadSchema }),
            '4xx': compatibleError,
            '5xx': compatibleError,
          },
        },
      },
      async (request, reply) => {
        const received = await deps.receiveCar(receiveInput(request, reply));
        const value =
          freshAnswer(deps, received) ?? (await findOwnAnswer(deps, { ...received, owner: callerName(request) }));
        if (value === undefined) throw new Error(`the upload ${received.root} is gone right after it was received`);
        return { ok: true as const, value };
      },
    );
  });
}

/** A new and complete upload waits, and has no more to tell: the database need not be asked for that. */
function freshAnswer(deps: StatusDeps, { cid, root, fresh }: Received) {
  if (fresh === undefined) return undefined;
  const { at: createdAt, position, proposingPaused } = fresh;
  const nothing = { missing: undefined, failure: null, aggregate: undefined, lastRefusal: undefined };
  const dagBytes = BigInt(fresh.dagBytes);
  const status = statusAnswer(deps, {
    ...nothing,
    root,
    state: 'waiting',
    createdAt,
    acceptedAt: createdAt,
    dagBytes,
    position,
    proposingPaused,
    // Its bytes are stored just now; its pin in a cluster, if any, waits to be given.
    pin: { pin: null, isKept: true },
    deals: [],
    partsWait: false,
  });
  return ownAnswer(cid, { since: createdAt }, status);
}

function receiveInput(request: FastifyRequest, reply: FastifyReply): ReceiveInput {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client went away'));
  });
  const { 'content-length': declared, 'content-encoding': encoding } = request.headers;
  // Not destroyed when reading stops early: that would cut the connection before the error is told (linger.ts).
  const raw = request.raw.iterator({ destroyOnReturn: false });
  const pack = packOf(request);
  return {
    // A decoder reads ahead and keeps chunks, and so does who reads a form; receiveCar keeps none.
    body: encoding === undefined && !isForm(request) ? giveBackChunks(raw) : decodeBody(raw, encoding),
    ...(pack !== undefined && { pack }),
    owner: callerName(request),
    // The length of an encoded body says nothing of the CAR's.
    ...(declared === undefined || encoding !== undefined ? {} : { declaredBytes: Number(declared) }),
    signal: gone.signal,
  };
}
