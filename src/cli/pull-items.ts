/** Turns what hands items over into what they are taken from; the giver waits for each to be wanted. */
export async function* pullItems<T>(run: (give: (item: T) => Promise<void>) => Promise<void>): AsyncGenerator<T> {
  const { readable, writable } = new TransformStream<T, T>();
  const writer = writable.getWriter();
  const running = run((item) => writer.write(item)).then(
    () => writer.close(),
    (error: unknown) => writer.abort(error),
  );
  // Where the taker leaves early, the giver fails at its next item, and nobody wants to know.
  running.catch(() => undefined);
  yield* readable;
  await running;
}
