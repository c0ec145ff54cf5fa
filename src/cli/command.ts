import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { BadInput } from '../errors.ts';
import type { Io } from '../terminal.ts';

export interface Command {
  usage: string;
  summary: string;
  /** Returns the exit code, 0 when nothing is returned. */
  run(args: string[], io: Io): Promise<number | undefined>;
}

export const jsonOption = { json: { type: 'boolean', default: false } } as const;

/** Arguments by node:util's parseArgs; what it refuses becomes a usage error that says how it is meant. */
export function parseCommand<T extends ParseArgsOptionsConfig>(args: string[], usage: string, options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new BadInput('USAGE', `${cause instanceof Error ? cause.message : String(cause)}\nusage: lading ${usage}`, {
      cause,
    });
  }
}

/** The positional argument at `at`, or a usage error that names what is missing. */
export function positional(given: { positionals: string[]; usage: string }, at: number, name: string): string {
  const value = given.positionals[at];
  if (value === undefined) throw new BadInput('USAGE', `missing ${name}\nusage: lading ${given.usage}`);
  return value;
}

/** bigint as a number where it is exact, else as text; dates as ISO text: for --json. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== 'bigint') return item;
    return item <= BigInt(Number.MAX_SAFE_INTEGER) && item >= BigInt(Number.MIN_SAFE_INTEGER)
      ? Number(item)
      : item.toString();
  });
}

/** What a terminal would act on instead of showing it: a provider chooses its own words and names. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ');
}

/** Rows as aligned columns, a header line first; nothing but a sentence when there are none. */
export function table(given: Record<string, string>[], empty: string): string {
  const rows = given.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, printable(cell)])),
  );
  const [first] = rows;
  if (first === undefined) return empty;
  const names = Object.keys(first);
  const widths = names.map((name) => Math.max(name.length, ...rows.map((row) => (row[name] ?? '').length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(names), ...rows.map((row) => line(names.map((name) => row[name] ?? '')))].join('\n');
}
