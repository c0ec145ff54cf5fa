import { errorCodes, type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify';
import { sqlStateOf } from '../../db/sqlstate.ts';
import { BadInput, LadingError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import { compatibleCode, errorCodes as codes, isErrorCode, pinningAnswer, type ErrorCode } from './error-codes.ts';
import { errorsOf } from './route-errors.ts';
import { collectRoutes } from './routes-at.ts';
import type { Server } from './typed-server.ts';

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
    const status = isErrorCode(error.code) ? codes[error.code][0] : error instanceof BadInput ? 400 : 500;
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
  if (request.story !== undefined) Object.assign(request.story.notes, { code: fault.code });
  if (fault.status === 401) reply.header('www-authenticate', 'Bearer realm="lading"');
  const wait =
    fault.details['retryAfter'] ?? (fault.status === 503 || fault.status === 507 ? RETRY_AFTER_SECONDS : undefined);
  if (wait !== undefined) reply.header('retry-after', wait);
  if (request.routeOptions.config.compatible) {
    const error = { code: compatibleCode(fault.code), message: fault.message };
    return reply.type('application/json').serializer(JSON.stringify).send({ ok: false, error });
  }
  if (request.routeOptions.config.pinning) {
    const { status, reason } = pinningAnswer(fault);
    const error = { reason, details: fault.message };
    return reply.code(status).type('application/json').serializer(JSON.stringify).send({ error });
  }
  return reply.type('application/problem+json').serializer(JSON.stringify).send(problemOf(fault, request.id));
}

/** RFC 9457; the type leads to where the page about the API tells of the code. */
export function problemOf({ status, code, message, details }: Fault, instance: string) {
  const title = isErrorCode(code) ? codes[code][1] : 'Bad input';
  const problem = { type: `/docs#${code}`, title, status, detail: message, code, instance };
  return Object.keys(details).length > 0 ? { ...problem, details } : problem;
}

/** With `strict`, which is for tests, a route that gives an error it does not declare fails as if it had broken. */
export function answerErrors(server: Server, log: Log, strict = false): void {
  const routesAt = collectRoutes(server);
  server.setErrorHandler((error, request, reply) => {
    const fault = describeFault(error);
    const fields = { requestId: request.id, method: request.method, route: request.routeOptions.url };
    if (request.raw.destroyed && !request.raw.complete) log.info(fields, 'request.client_gone');
    else if (fault.status >= 500) log.error({ ...fields, err: error }, 'request.failed');
    if (declares(request, fault.code)) return sendFault(request, reply, fault);
    log.error({ ...fields, code: fault.code }, 'request.undeclared_error');
    return sendFault(request, reply, strict ? { ...INTERNAL, message: `undeclared: ${fault.code}` } : fault);
  });
  // At once: nothing of a body is looked at that nobody would take.
  server.addHook('onRequest', (request, reply, done) => {
    if (!isNobodys(request)) return done();
    const [path = ''] = request.url.split('?');
    // What takes any path is an answer to none in particular.
    const routes = routesAt(path).filter(({ isWild }) => !isWild);
    const methods = [...new Set(routes.map(({ method }) => method))].toSorted();
    if (methods.length === 0) return sendFault(request, reply, faultOf('NOT_FOUND', `there is nothing at ${path}`));
    reply.header('allow', methods.join(', '));
    const message = `${request.method} is not for ${path}: it takes ${methods.join(', ')}`;
    return sendFault(request, reply, faultOf('METHOD_NOT_ALLOWED', message));
  });
}

/** The router takes `/` for a path of `/:cid`, with an empty name. */
function isNobodys({ is404, params }: FastifyRequest): boolean {
  return is404 || (typeof params === 'object' && params !== null && Object.values(params).includes(''));
}

function declares({ method, routeOptions: { config, schema } }: FastifyRequest, code: string): boolean {
  return isErrorCode(code) && errorsOf({ method, config, schema }).includes(code);
}

function faultOf(code: ErrorCode, message: string): Fault {
  return { status: codes[code][0], code, message, details: {} };
}

/** What is wrong before there is a route: a URL that cannot be read. */
export function answerFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  sendFault(request, reply, describeFault(error));
}
