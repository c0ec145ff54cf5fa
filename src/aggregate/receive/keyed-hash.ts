const WORD_BYTES = 4;

/** A key where it lies. */
export interface KeyAt {
  chunk: Buffer;
  start: number;
  end: number;
}

/**
 * HalfSipHash-1-3 (Aumasson and Bernstein's SipHash with words of 32 bits): fast on short keys, and unlike a plain hash
 * nobody who does not know the secret of 8 bytes finds keys that fall together. 32 bits.
 */
export function keyedHash(secret: Buffer, { chunk, start, end }: KeyAt): number {
  const length = end - start;
  const k0 = secret.readInt32LE(0);
  const k1 = secret.readInt32LE(WORD_BYTES);
  let v0 = k0;
  let v1 = k1;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;
  const whole = length - (length % WORD_BYTES);
  let last = length << 24;
  for (let at = whole; at < length; at += 1) last |= (chunk[start + at] ?? 0) << (8 * (at - whole));
  // One round for each word and the last one, three at the end.
  const rounds = whole / WORD_BYTES + 1;
  for (let round = 0; round < rounds + 3; round += 1) {
    let word = 0;
    if (round < rounds) word = round === rounds - 1 ? last : chunk.readInt32LE(start + round * WORD_BYTES);
    if (round === rounds) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return (v1 ^ v3) >>> 0;
}
