/** Lets at most so many tasks run at once; the others wait in order of arrival. */
export interface Gate {
  run<T>(task: () => Promise<T>): Promise<T>;
}

export function createGate(width: number): Gate {
  const waiting: (() => void)[] = [];
  let running = 0;
  function leave(): void {
    const next = waiting.shift();
    // The place is handed on, never given back in between, so that nobody can slip past the queue.
    if (next === undefined) running -= 1;
    else next();
  }
  return {
    async run(task) {
      if (running < width) running += 1;
      else await new Promise<void>((enter) => waiting.push(enter));
      try {
        return await task();
      } finally {
        leave();
      }
    },
  };
}
