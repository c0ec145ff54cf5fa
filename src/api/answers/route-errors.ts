import type { FastifyContextConfig, FastifySchema } from 'fastify';
import type { ErrorCode } from './error-codes.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The errors that this route can give, beside those that all routes of its kind can. */
    errors?: readonly ErrorCode[];
  }
}

interface DeclaredRoute {
  method: string | readonly string[];
  config?: FastifyContextConfig | undefined;
  schema?: FastifySchema | undefined;
}

/** What is wrong with what never becomes a request of any route. */
export const unroutedErrors: readonly ErrorCode[] = ['REQUEST_TIMEOUT', 'HEADERS_TOO_LARGE'];
/** What may be wrong before a route is found: then it is told in problem details, whatever the route. */
export const earlyErrors: readonly ErrorCode[] = ['INVALID_REQUEST', ...unroutedErrors];

const BODY_METHODS = ['POST', 'PUT', 'PATCH', 'DELETE'];

/** Pure: every code that an answer of this route may have. */
export function errorsOf({ method, config, schema }: DeclaredRoute): ErrorCode[] {
  const takesBody = [method].flat().some((one) => BODY_METHODS.includes(one));
  const codes: ErrorCode[] = [
    ...earlyErrors,
    ...(config?.access === 'public' ? [] : (['UNAUTHORIZED', 'FORBIDDEN'] as const)),
    'RATE_LIMITED',
    ...(takesBody || schema?.body !== undefined ? (['BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...(config?.errors ?? []),
    'INTERNAL',
    'UNAVAILABLE',
  ];
  return [...new Set(codes)];
}
