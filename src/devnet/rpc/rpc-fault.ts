/** An error of JSON-RPC as go-jsonrpc answers it: faults of the call itself are HTTP 500, those of the method 200. */
export class RpcFault extends Error {
  override readonly name = 'RpcFault';
  readonly code: number;
  readonly status: number;

  constructor(code: number, message: string, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The method ran and failed. */
export function methodFault(message: string): RpcFault {
  return new RpcFault(1, message, 200);
}

/** The one error of Lotus' own that has a code (lotus api/api_errors.go). */
export function actorNotFound(): RpcFault {
  return new RpcFault(11, 'actor not found', 200);
}

export function paramFault(message: string): RpcFault {
  return new RpcFault(-32_700, `unmarshaling params: ${message}`, 500);
}
