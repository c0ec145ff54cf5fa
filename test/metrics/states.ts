import { readFileSync } from 'node:fs';

/** The values of an enum, as the migrations' snapshot has them, sorted. */
export function statesOf(type: 'deal_state' | 'upload_state'): string[] {
  const text = readFileSync(new URL('../../migrations/schema.snapshot.sql', import.meta.url), 'utf8');
  const line = text.split('\n').find((one) => one.includes(type) && /enum/i.test(one)) ?? '';
  return [...line.matchAll(/'([a-z]+)'/g)].map(([, state = '']) => state).toSorted();
}
