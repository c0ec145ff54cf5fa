import type { EntityBytes } from '../../aggregate/blocks/entity-links.ts';
import { LadingError } from '../../errors.ts';

/** `from:to`, both inclusive, below zero from the end; `*`: the end. */
export const ENTITY_BYTES_PATTERN = '^-?[0-9]{1,15}:(\\*|-?[0-9]{1,15})$';

/** Pure: reads text of the pattern. Throws `INVALID_REQUEST` where it ends before it begins. */
export function parseEntityBytes(text: string): EntityBytes {
  const [first = '', last = ''] = text.split(':');
  const from = Number(first);
  const to = last === '*' ? undefined : Number(last);
  if (to !== undefined && from >= 0 === to >= 0 && to < from) throw outside(text);
  return { from, to };
}

export function outside(text: string): LadingError {
  return new LadingError('INVALID_REQUEST', `entity-bytes=${text} asks for no byte that there is`);
}
