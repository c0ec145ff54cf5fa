/**
 * Frees each chunk of a request's body as soon as the next one is asked for, for readers that keep none. Node gives each
 * one a memory of its own, which only a collection of garbage would free: between two of them a fast sender fills up to
 * a hundred MiB, and every chunk lies in memory that no cache has.
 */
export async function* giveBackChunks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    yield chunk;
    if (hasItsOwnMemory(chunk)) chunk.buffer.transfer(0);
  }
}

/** A part of a larger memory may have neighbours that others read. */
function hasItsOwnMemory(chunk: Uint8Array): chunk is Uint8Array<ArrayBuffer> {
  return chunk.buffer instanceof ArrayBuffer && chunk.byteLength === chunk.buffer.byteLength;
}
