import type { ServerResponse } from 'node:http';

/** A stream ends within this and the two seconds that a token is kept (tokens/database-tokens.ts). */
export const RECHECK_MS = 3_000;

/**
 * An answer without end is asked for once, so a token that is revoked meanwhile would open it for ever: it is looked at
 * now and then, and the connection ends with it. A database that is away says nothing about the token.
 */
export function endWithToken(raw: ServerResponse, everyMs: number, isGood: () => Promise<boolean>): void {
  const look = (): void => {
    isGood().then(
      (good) => void (good || raw.destroy()),
      () => undefined,
    );
  };
  const timer = setInterval(look, everyMs);
  raw.once('close', () => clearInterval(timer));
}
