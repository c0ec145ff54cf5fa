import type { Env } from './config.ts';

/** Standard input, and whether a person types there. */
export type Input = AsyncIterable<unknown> & NodeJS.ReadableStream & { isTTY?: boolean };

/** What a command may touch of the world. */
export interface Io {
  env: Env;
  /** One line of result on standard output. */
  print(line: string): void;
  /** One line for the person at the terminal, on standard error. */
  say(line: string): void;
  isTerminal: boolean;
  /** Undefined: nobody is asked anything. */
  input?: Input;
  /** Aborted by the first SIGINT or SIGTERM. */
  signal: AbortSignal;
}
