import { STATUS_CODES } from 'node:http';
import { errorCodes, type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify';
import { sqlStateOf } from '../db/sqlstate.ts';
import { BadInput, LadingError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Server } from './typed-server.ts';

/** The one place where codes become HTTP statuses. A `BadInput` that is not listed is 400, any other fault 500. */
const statuses: Record<string, number> = {
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  NFT_NOT_FOUND: 404,
  AGGREGATE_NOT_OPEN: 409,
  CONFLICT: 409,
  NOT_SEALED: 409,
  DEAL_NOT_OPEN: 409,
  POLICY_CHANGED: 412,
  UPLOAD_TOO_LARGE: 413,
  TOO_MANY_BLOCKS: 413,
  TOO_MANY_LINKS: 413,
  DAG_TOO_DEEP: 413,
  BODY_TOO_LARGE: 413,
  EXPANSION_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  RANGE_NOT_SATISFIABLE: 416,
  NETWORK_UNKNOWN: 503,
  UNAVAILABLE: 503,
  TOO_MANY_CONNECTIONS: 503,
  STORE_UNAVAILABLE: 503,
  STORE_FULL: 507,
  STORE_QUOTA: 507,
  PIECE_RELEASED: 410,
};

/** Codes that existing clients know by another name. */
const compatibleCodes: Record<string, string> = { INVALID_CID: 'ERROR_INVALID_CID', NFT_NOT_FOUND: 'HTTP_ERROR' };

/** Clients may try again after this long; a full store or an unreachable database rarely mends sooner. */
const RETRY_AFTER_SECONDS = 60;

interface Fault {
  status: number;
  code: string;
  message: string;
  details: Record<string, string | number>;
}

const UNAVAILABLE: Fault = {
  status: 503,
  code: 'UNAVAILABLE',
  message: 'the database cannot be reached; try again later',
  details: {},
};

const INTERNAL: Fault = {
  status: 500,
  code: 'INTERNAL',
  message: 'something went wrong inside; the log has it under the request id',
  details: {},
};

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_');
}

function fastifyFault(error: FastifyError): Fault {
  const status = error.statusCode ?? 500;
  const fault = { details: {}, message: error.message };
  if (error.validation !== undefined) return { ...fault, status: 400, code: 'INVALID_REQUEST' };
  if (error instanceof errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE) {
    const message = 'this content type is not understood here; see the documentation of the route';
    return { ...fault, status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', message };
  }
  if (status === 413) return { ...fault, status, code: 'BODY_TOO_LARGE' };
  return status < 500 ? { ...fault, status, code: 'INVALID_REQUEST' } : INTERNAL;
}

/** Pure: what a caller may know of a fault. A 5xx says nothing of inside, a full store only that it is full. */
function describeFault(error: unknown): Fault {
  if (error instanceof LadingError) {
    const status = statuses[error.code] ?? (error instanceof BadInput ? 400 : 500);
    return status === 500 ? INTERNAL : { status, code: error.code, message: error.message, details: error.details };
  }
  // Validation errors carry no code of their own before Fastify wraps them.
  if (error instanceof Error && 'validation' in error) {
    return { status: 400, code: 'INVALID_REQUEST', message: error.message, details: {} };
  }
  if (isFastifyError(error)) return fastifyFault(error);
  return isUnavailable(error) ? UNAVAILABLE : INTERNAL;
}

/** No connection, no room for one more, or a server that starts or stops (SQLSTATE classes 08, 53, 57P). */
function isUnavailable(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED') return true;
  return /^(08|53|57P)/.test(sqlStateOf(error) ?? '');
}

function sendFault(request: FastifyRequest, reply: FastifyReply, fault: Fault): FastifyReply {
  reply.code(fault.status);
  if (fault.status === 401) reply.header('www-authenticate', 'Bearer realm="lading"');
  if (fault.status === 503 || fault.status === 507) reply.header('retry-after', RETRY_AFTER_SECONDS);
  if (request.routeOptions.config.compatible) {
    const code = compatibleCodes[fault.code] ?? fault.code;
    return reply
      .type('application/json')
      .serializer(JSON.stringify)
      .send({ ok: false, error: { code, message: fault.message } });
  }
  const { status, code, message, details } = fault;
  const problem = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    code,
    instance: request.id,
  };
  const body = Object.keys(details).length > 0 ? { ...problem, details } : problem;
  return reply.type('application/problem+json').serializer(JSON.stringify).send(body);
}

export function answerErrors(server: Server, log: Log): void {
  server.setErrorHandler((error, request, reply) => {
    const fault = describeFault(error);
    const fields = { requestId: request.id, method: request.method, route: request.routeOptions.url };
    if (request.raw.destroyed && !request.raw.complete) log.info(fields, 'request.client_gone');
    else if (fault.status >= 500) log.error({ ...fields, err: error }, 'request.failed');
    return sendFault(request, reply, fault);
  });
  server.setNotFoundHandler((request, reply) => {
    const message = `there is nothing at ${request.method} ${request.url.split('?')[0]}`;
    return sendFault(request, reply, { status: 404, code: 'NOT_FOUND', message, details: {} });
  });
}
