import { readFileSync } from 'node:fs';

export interface Pair {
  note: string;
  status: number;
  request?: { method: string; params: unknown[] };
  response: { result?: unknown; error?: { code: number; message: string } } | null;
}

const file = new URL('../../vectors/lotus-rpc.json', import.meta.url);

/** What a real node answered; the file tells which. */
export const { pairs } = JSON.parse(readFileSync(file, 'utf8')) as { pairs: Pair[] };

/** The result of the last recorded success of a method: the later pairs are the more unusual ones. */
export function resultOf(method: string): unknown {
  const found = pairs.findLast((pair) => pair.request?.method === method && pair.response?.result !== undefined);
  if (found === undefined) throw new Error(`no recorded result of ${method}`);
  return found.response?.result;
}
