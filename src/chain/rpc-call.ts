import type { LadingError } from '../errors.ts';
import type { AnswerParser } from './parse-answer.ts';
import { RpcError } from './rpc-error.ts';
import type { ReadMethod, WriteMethod } from './rpc-methods.ts';

/** A question to the chain, and how its answer is read. An answer that `parse` refuses is a fault of the endpoint. */
export interface Read<T> {
  method: ReadMethod;
  params: readonly unknown[];
  parse: AnswerParser<T>;
  /** Where it has less time than other calls. */
  timeoutMs?: number;
}

/** The same question about many things. */
export interface ReadMany<T> {
  method: ReadMethod;
  /** Of each call. */
  params: readonly (readonly unknown[])[];
  parse: AnswerParser<T>;
}

export interface Write<T> {
  method: WriteMethod;
  params: readonly unknown[];
  parse: AnswerParser<T>;
}

/** What one call of many came to. */
export type Outcome<T> = { value: T } | { error: LadingError };

/** Reads of a Lotus-compatible node, of one or of several. */
export interface Rpc {
  /** Throws RpcError. */
  read<T>(read: Read<T>, signal: AbortSignal): Promise<T>;
  /** In the order of the parameters. One call that fails says nothing of the others. */
  readMany<T>(reads: ReadMany<T>, signal: AbortSignal): Promise<Outcome<T>[]>;
}

/** JSON has no bigint: callers turn theirs into exact numbers or strings first. */
export function jsonInteger(method: string, value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RpcError('RPC_BAD_PARAMS', `${value} is beyond what JSON numbers hold exactly`, { method, retry: 'never' });
}
