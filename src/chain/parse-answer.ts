import { Type, type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { FormatError } from '../filecoin/format-error.ts';
import { RpcError } from './rpc-error.ts';

/** Checks a node's answer once, at the door. */
export interface AnswerParser<T> {
  (answer: unknown, method: string): T;
}

/** More complaints than this about one answer say nothing new. */
const MAX_COMPLAINTS = 5;

/** `{"/": "bafy…"}` */
export const cidLink = Type.Object({ '/': Type.String({ minLength: 1 }) });
/** An epoch, which may be −1 for never. */
export const epoch = Type.Integer({ minimum: -1 });
/** An unsigned integer that may be beyond 2^53; rpc-envelope.ts makes such a bigint. */
export const uint = Type.Union([Type.Integer({ minimum: 0 }), Type.BigInt({ minimum: 0n })]);
/** attoFIL or DataCap in decimal digits. */
export const amount = Type.String({ pattern: '^(0|[1-9][0-9]*)$' });
/** `f0…` or `t0…` */
export const idText = Type.String({ pattern: '^[ft]0(0|[1-9][0-9]*)$' });

/**
 * A parser for answers of this shape, turned into our own words by `read`. Fields we do not know are ignored; what is
 * missing or of another type is named. Throws RpcError RPC_BAD_RESULT.
 */
export function answerParser<S extends TSchema, T>(schema: S, read: (answer: Static<S>) => T): AnswerParser<T> {
  const compiled = Compile(schema);
  return (answer, method) => {
    if (!compiled.Check(answer)) {
      const complaints = compiled
        .Errors(answer)
        .map(({ instancePath, message }) => `${instancePath || 'the result'} ${message}`);
      throw badResult(complaints.slice(0, MAX_COMPLAINTS).join('; '), method);
    }
    try {
      return read(answer);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw badResult(error.message, method);
    }
  };
}

export function badResult(why: string, method: string): RpcError {
  return new RpcError('RPC_BAD_RESULT', `answered in a shape we do not know: ${why}`, { method });
}

/** `f0…`, whatever letter the node writes; only for text that `idText` has checked. */
export function toIdText(text: string): string {
  return `f${text.slice(1)}`;
}
