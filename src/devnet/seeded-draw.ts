import { createHash } from 'node:crypto';

/** Bytes that look random and are the same for the same seed and label, in any order of drawing. */
export function drawBytes(seed: string, label: string, length: number): Uint8Array {
  return new Uint8Array(createHash('shake256', { outputLength: length }).update(`${seed}/${label}`).digest());
}

/** A number from 0 up to, not including, 1. */
export function drawFraction(seed: string, label: string): number {
  return Buffer.from(drawBytes(seed, label, 6)).readUIntBE(0, 6) / 2 ** 48;
}
