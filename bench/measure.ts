/** One thing to be measured: `run` does the work once and returns how many bytes it went through. */
export interface Contender {
  name: string;
  run: () => number;
}

const BYTES_PER_MIB = 1024 * 1024;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** By CPU time, all threads of the process included: on a busy machine time says more of the others. */
function rateOf({ run }: Contender): number {
  const before = process.cpuUsage();
  const bytes = run();
  const { user, system } = process.cpuUsage(before);
  return bytes / BYTES_PER_MIB / ((user + system) / 1e6);
}

/**
 * Median MiB per CPU second of each contender over rounds in which they alternate, so that a busy moment of the machine hits all
 * of them; one round before them warms the code up and does not count.
 */
export function alternate(contenders: readonly Contender[], rounds: number): Map<string, number> {
  const rates = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const contender of contenders) {
      const rate = rateOf(contender);
      if (round > 0) rates.get(contender.name)?.push(rate);
    }
  }
  return new Map([...rates].map(([name, values]) => [name, median(values)]));
}

export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
