import { LadingError, type Retry } from '../errors.ts';

export type RpcErrorCode =
  | 'RPC_TIMEOUT'
  | 'RPC_UNREACHABLE'
  | 'RPC_HTTP_STATUS'
  | 'RPC_TOO_LARGE'
  | 'RPC_NOT_JSON'
  | 'RPC_BAD_ENVELOPE'
  | 'RPC_BAD_RESULT'
  | 'RPC_BAD_PARAMS'
  | 'RPC_ERROR'
  | 'RPC_METHOD_NOT_FOUND'
  | 'RPC_NO_ENDPOINT';

interface RpcErrorOptions {
  /** Without `Filecoin.` */
  method: string;
  /** Host and port of the endpoint alone: a path or query may hold a key. */
  host?: string;
  retry?: Retry;
  /** HTTP status. */
  status?: number;
  /** `error.code` and `error.data` of the node's own answer. */
  rpcCode?: number;
  rpcData?: unknown;
}

/** A chain read that failed. It never holds a request, a header or a URL, as these carry the token. */
export class RpcError extends LadingError {
  override readonly name = 'RpcError';
  override readonly code: RpcErrorCode;
  readonly method: string;
  readonly status: number | undefined;
  readonly rpcCode: number | undefined;
  readonly rpcData: unknown;

  constructor(code: RpcErrorCode, message: string, options: RpcErrorOptions) {
    const { method, host, status, rpcCode, rpcData } = options;
    const details = {
      method,
      ...(host !== undefined && { host }),
      ...(status !== undefined && { status }),
      ...(rpcCode !== undefined && { rpcCode }),
    };
    super(code, `${method}${host === undefined ? '' : ` at ${host}`}: ${message}`, {
      retry: options.retry ?? 'later',
      details,
    });
    this.code = code;
    this.method = method;
    this.status = status;
    this.rpcCode = rpcCode;
    this.rpcData = rpcData;
  }
}

/** Faults of one endpoint that say nothing about the chain: another endpoint may answer the same call. */
const ENDPOINT_FAULTS: ReadonlySet<RpcErrorCode> = new Set<RpcErrorCode>([
  'RPC_TIMEOUT',
  'RPC_UNREACHABLE',
  'RPC_HTTP_STATUS',
  'RPC_TOO_LARGE',
  'RPC_NOT_JSON',
  'RPC_BAD_ENVELOPE',
  'RPC_METHOD_NOT_FOUND',
]);

export function isEndpointFault(error: unknown): error is RpcError {
  return error instanceof RpcError && ENDPOINT_FAULTS.has(error.code);
}

/** Did the node itself refuse, in words that match? */
export function isNodeError(error: unknown, words: RegExp): error is RpcError {
  return error instanceof RpcError && error.code === 'RPC_ERROR' && words.test(error.message);
}
