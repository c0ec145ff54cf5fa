import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError } from 'fastify';
import { errorCodes, type ErrorCode } from '../answers/error-codes.ts';
import { problemOf } from '../answers/errors.ts';

const faults: Readonly<Record<string, [ErrorCode, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['REQUEST_TIMEOUT', 'the headers of the request did not arrive in time'],
  HPE_HEADER_OVERFLOW: ['HEADERS_TOO_LARGE', 'the headers of the request are larger than 16 KiB'],
};
const otherwise: [ErrorCode, string] = ['INVALID_REQUEST', 'this is not HTTP as it is understood here'];

/** Answers what never became a request, in the words of all other refusals, and closes the connection. */
export function answerBrokenRequest(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) return void socket.destroy();
  const [code, message] = faults[error.code] ?? otherwise;
  const [status] = errorCodes[code];
  const body = JSON.stringify(problemOf({ status, code, message, details: {} }, randomUUID()));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
