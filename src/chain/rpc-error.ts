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
  | 'RPC_NO_ENDPOINT'
  /** A gateway searches only the newest tipsets, and it is not in these. */
  | 'RPC_LOOKBACK'
  /** A write that was sent, and of which nobody knows whether it arrived. */
  | 'RPC_WRITE_UNKNOWN';

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
  /** How long a node that refuses for being asked too much wants to be left alone. */
  retryAfterMs?: number | undefined;
}

/** A chain read that failed. It never holds a request, a header or a URL, as these carry the token. */
export class RpcError extends LadingError {
  override readonly name = 'RpcError';
  override readonly code: RpcErrorCode;
  readonly method: string;
  readonly status: number | undefined;
  readonly rpcCode: number | undefined;
  readonly rpcData: unknown;
  readonly retryAfterMs: number | undefined;
  /** The message without method and host. */
  readonly why: string;

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
    this.retryAfterMs = options.retryAfterMs;
    this.why = message;
  }

  /** The same, of this endpoint: whoever looks at an answer alone does not know where it came from. */
  at(host: string): RpcError {
    return new RpcError(this.code, this.why, { method: this.method, host, retry: this.retry });
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
  'RPC_BAD_RESULT',
  'RPC_METHOD_NOT_FOUND',
]);

export function isEndpointFault(error: unknown): error is RpcError {
  return error instanceof RpcError && ENDPOINT_FAULTS.has(error.code);
}

/**
 * Words in which a node says that it, and not the chain, is short of something: old state that it did not keep, blocks
 * it has not got yet, or the look-back of a gateway (20 epochs for messages, a day for tipsets).
 */
const OWN_LIMITS =
  /lookback|look-back|too far|is older than|in the past|blockstore: block not found|ipld: could not find|state (tree )?not (found|available)|failed to load (state|tipset)|not supported|disabled|rate limit/i;

/** A refusal that another endpoint need not share: the answer is not in the chain but in what this node keeps. */
export function isOwnLimit(error: unknown): error is RpcError {
  return isNodeError(error, OWN_LIMITS);
}

/** What is not one may be an RpcError all the same. */
type NodeError = RpcError & { readonly code: 'RPC_ERROR' };

/** Did the node itself refuse, in words that match? */
export function isNodeError(error: unknown, words: RegExp): error is NodeError {
  return error instanceof RpcError && error.code === 'RPC_ERROR' && words.test(error.message);
}

const NOT_OFFERED = /EnableActorEvents|disabled|not supported/i;

/** Does this node not have the method at all, by its version or by its settings? */
export function isNotOffered(error: unknown): error is RpcError {
  return (error instanceof RpcError && error.code === 'RPC_METHOD_NOT_FOUND') || isNodeError(error, NOT_OFFERED);
}
