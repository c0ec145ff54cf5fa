/** The chunks of a stream that can be read once. Not its own async iteration, which Safari lacks. */
export async function* readStream(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    // Whoever leaves early wants no more; a stream that failed cannot be cancelled, which is no news.
    await reader.cancel().catch(() => undefined);
  }
}

/** Not `ReadableStream.from`, which browsers lack. */
export function streamOf(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const next = await chunks.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  });
}
