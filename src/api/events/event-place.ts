import type { FastifyRequest } from 'fastify';
import type { Kysely } from 'kysely';
import { Type } from 'typebox';
import type { DB } from '../../db/tables.ts';
import { BadInput } from '../../errors.ts';
import { formatEventId, parseEventId, ROW_DONE, type Cursor } from '../../events/change.ts';
import { BEGINNING, findCursor } from '../../events/outbox.ts';

/** No event id is longer. */
const MAX_ID_CHARS = 40;

export const placeQuery = {
  after: Type.Optional(
    Type.String({
      maxLength: MAX_ID_CHARS,
      examples: ['0'],
      description: 'the id of the last event that was seen, or 0 for all that ever happened; left out: from now on',
    }),
  ),
};

/** Where a reader begins that has seen this; undefined: from now on. Throws `INVALID_EVENT_ID`. */
export async function findPlace(kysely: Kysely<DB>, given: string | undefined): Promise<Cursor | undefined> {
  if (given === undefined || given === '') return undefined;
  if (given === '0') return BEGINNING;
  const id = parseEventId(/^\d+$/.test(given) ? `${given}-${ROW_DONE}` : given);
  const cursor = id && (await findCursor(kysely, id));
  if (cursor === undefined) {
    const hint = 'give the id of one, 0 for all, or none';
    throw new BadInput('INVALID_EVENT_ID', `there was never an event '${given}': ${hint}`);
  }
  return cursor;
}

/** What a reader gives to come again at this place. */
export function formatPlace(place: Pick<Cursor, 'position' | 'index'>): string {
  return place.position === 0n ? '0' : formatEventId(place);
}

/** The token name to whose things the caller is bound; undefined: to none. */
export function ownerOf({ caller }: FastifyRequest): string | undefined {
  return caller?.kind === 'token' && caller.role === 'upload' ? caller.name : undefined;
}
