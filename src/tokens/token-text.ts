import { createHash } from 'node:crypto';

/** So that scanners for leaked secrets, and people, see what it is. */
const PREFIX = 'lading_';
/** 256 bits: nobody guesses one, so one round of SHA-256 keeps it as well as any slow hash, and costs a request nothing. */
export const TOKEN_BYTES = 32;
const MADE_HERE = /^lading_[A-Za-z0-9_-]{43}$/;

/** The token of these random bytes, as it is shown once. */
export function formatToken(random: Buffer): string {
  if (random.length !== TOKEN_BYTES) throw new Error(`a token is made of ${TOKEN_BYTES} random bytes`);
  return PREFIX + random.toString('base64url');
}

/** Whether the database may know it; nothing else is looked up there. */
export function isMadeHere(token: string): boolean {
  return MADE_HERE.test(token);
}

/** What is kept of a token. */
export function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
