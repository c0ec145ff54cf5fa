/** Whether two byte streams are equal, however they are cut into chunks. */
export async function sameBytes(a: AsyncIterable<Uint8Array>, b: AsyncIterable<Uint8Array>): Promise<boolean> {
  const other = b[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();
  try {
    for await (let chunk of a) {
      while (chunk.length > 0) {
        if (rest.length === 0) {
          const next = await other.next();
          if (next.done) return false;
          rest = next.value;
          continue;
        }
        const length = Math.min(chunk.length, rest.length);
        if (Buffer.compare(chunk.subarray(0, length), rest.subarray(0, length)) !== 0) return false;
        chunk = chunk.subarray(length);
        rest = rest.subarray(length);
      }
    }
    return rest.length === 0 && (await ended(other));
  } finally {
    await other.return?.();
  }
}

async function ended(stream: AsyncIterator<Uint8Array>): Promise<boolean> {
  for (let next = await stream.next(); !next.done; next = await stream.next()) if (next.value.length > 0) return false;
  return true;
}
