const PACK_BYTES = 256 * 1024;
/** From here on a chunk is worth a write of its own. */
const LARGE_BYTES = 32 * 1024;

/**
 * The same bytes in fewer chunks: small ones are put together, in memory that is used again, for a write takes as long as
 * copying some kilobytes. A chunk is good until the next one is asked for, on both sides.
 */
export async function* packChunks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pack = Buffer.allocUnsafeSlow(PACK_BYTES);
  let filled = 0;
  for await (const chunk of chunks) {
    if (filled > 0 && (chunk.length >= LARGE_BYTES || filled + chunk.length > PACK_BYTES)) {
      yield pack.subarray(0, filled);
      filled = 0;
    }
    if (chunk.length >= LARGE_BYTES) yield chunk;
    else {
      pack.set(chunk, filled);
      filled += chunk.length;
    }
  }
  if (filled > 0) yield pack.subarray(0, filled);
}
