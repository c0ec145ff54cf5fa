import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** Writes one chunk, and comes back when the kernel has it: then its memory may be used again. */
function written(raw: ServerResponse, chunk: Uint8Array, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(new Error('the client has gone'));
    // Whoever is gone may leave the callback uncalled.
    if (signal.aborted) return leave();
    signal.addEventListener('abort', leave, { once: true });
    raw.write(chunk, (error) => {
      signal.removeEventListener('abort', leave);
      if (error) reject(error);
      else resolve();
    });
  });
}

/**
 * Answers with these bytes, a chunk at a time: the next one is read when the last one has left, so that a source may use
 * its memory again, and nothing is held for a slow client but one chunk. What fails before the first byte is thrown; later
 * the connection breaks, and the fault is the answer of this function. The headers are those of the reply.
 */
export async function pour(
  reply: FastifyReply,
  bytes: AsyncGenerator<Uint8Array>,
  signal: AbortSignal,
): Promise<unknown> {
  let next = await bytes.next();
  reply.hijack();
  const { raw } = reply;
  try {
    // Fastify types numbers and lists of texts into them, as Node takes them.
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value);
    }
    raw.writeHead(reply.statusCode);
    for (; next.done !== true; next = await bytes.next()) await written(raw, next.value, signal);
    raw.end();
    return undefined;
  } catch (error) {
    raw.destroy();
    return error;
  } finally {
    await bytes.return(undefined);
  }
}
