import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { ReceiveInput, Received } from '../aggregate/receive/receive.ts';
import { BadInput } from '../errors.ts';
import { callerName } from './auth.ts';
import { decodeBody } from './decode-body.ts';
import { giveBackChunks } from './give-back-chunks.ts';
import { compatibleError, exactly } from './schemas.ts';
import { findStatusAnswer, statusAnswer, statusProperties, type StatusDeps } from './status-answer.ts';
import type { Server } from './typed-server.ts';

export interface UploadDeps extends StatusDeps {
  /** aggregate/receive/receive.ts, with its dependencies given. */
  receiveCar(input: ReceiveInput): Promise<Received>;
}

const CAR_TYPES = ['application/vnd.ipld.car', 'application/car'];

const uploadAnswer = exactly({
  ok: Type.Literal(true),
  value: exactly({ cid: Type.String(), size: Type.Number(), created: Type.String(), ...statusProperties }),
});

export function uploadRoutes(server: Server, deps: UploadDeps): void {
  // A scope of its own: here alone bodies are handed on unread.
  server.register(async (scope: Server) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.post(
      '/upload',
      {
        config: { access: ['upload'], compatible: true },
        schema: {
          consumes: CAR_TYPES,
          querystring: exactly({}),
          response: { 200: uploadAnswer, '4xx': compatibleError, '5xx': compatibleError },
        },
      },
      async (request, reply) => {
        checkContentType(request);
        const received = await deps.receiveCar(receiveInput(request, reply));
        const status = freshAnswer(deps, received) ?? (await findStatusAnswer(deps, received.root));
        if (status === undefined) throw new Error(`the upload ${received.root} is gone right after it was received`);
        const { pin, ...rest } = status;
        return { ok: true as const, value: { cid: received.cid, size: pin.size, created: pin.created, pin, ...rest } };
      },
    );
  });
}

/** A new and complete upload waits, and has no more to tell: the database need not be asked for that. */
function freshAnswer(deps: StatusDeps, { root, fresh }: Received) {
  if (fresh === undefined) return undefined;
  const { at: createdAt, position } = fresh;
  const nothing = { missing: undefined, failure: null, aggregate: undefined, lastRefusal: undefined };
  const dagBytes = BigInt(fresh.dagBytes);
  return statusAnswer(deps, {
    ...nothing,
    root,
    state: 'waiting',
    createdAt,
    dagBytes,
    position,
    deals: [],
    partsWait: false,
  });
}

/** Other bodies (one file, multipart) come with a later version. */
function checkContentType({ headers, mediaType }: FastifyRequest): void {
  if (mediaType !== undefined && CAR_TYPES.includes(mediaType)) return;
  const given = headers['content-type'] === undefined ? 'no content type' : `'${headers['content-type']}'`;
  throw new BadInput('UNSUPPORTED_MEDIA_TYPE', `send one CAR as ${CAR_TYPES.join(' or ')}; ${given} is not taken yet`);
}

function receiveInput(request: FastifyRequest, reply: FastifyReply): ReceiveInput {
  const gone = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client went away'));
  });
  const { 'content-length': declared, 'content-encoding': encoding } = request.headers;
  // Not destroyed when reading stops early: that would cut the connection before the error is told (linger.ts).
  const raw = request.raw.iterator({ destroyOnReturn: false });
  return {
    // A decoder reads ahead and keeps chunks; receiveCar keeps none.
    body: encoding === undefined ? giveBackChunks(raw) : decodeBody(raw, encoding),
    owner: callerName(request),
    // The length of an encoded body says nothing of the CAR's.
    ...(declared === undefined || encoding !== undefined ? {} : { declaredBytes: Number(declared) }),
    signal: gone.signal,
  };
}
