import type { Readable } from 'node:stream';
import { Type, type TObject, type TProperties } from 'typebox';
import { BadInput } from '../../errors.ts';

/** An object that has these properties and no others: what is unknown is refused, never dropped in silence. */
export function exactly<T extends TProperties>(properties: T): TObject<T> {
  return Type.Object(properties, { additionalProperties: false });
}

export const nullableText = Type.Union([Type.String(), Type.Null()]);
export const nullableNumber = Type.Union([Type.Number(), Type.Null()]);

/** An answer that is a stream of bytes: handed on as it is. */
export const streamed = Type.Unsafe<Readable>({});

/** RFC 9457. */
export const problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    instance: Type.String(),
    details: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()]))),
  },
  { title: 'Problem', description: 'problem details (RFC 9457)' },
);

/** Errors of the routes that existing clients call. */
export const compatibleError = exactly({
  ok: Type.Literal(false),
  error: exactly({ code: Type.String(), message: Type.String() }),
});

/** More in one answer would hold the event loop for its JSON. */
const MAX_PAGE = 1_000;
const DEFAULT_PAGE = 100;

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE })),
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
};

export function pageLimit(query: { limit?: number }): number {
  return query.limit ?? DEFAULT_PAGE;
}

/** Opaque to callers: positions in a list, as they were in its last item. */
export function encodeCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Throws `INVALID_CURSOR` unless it holds as many parts as patterns, each of its pattern. */
export function decodeCursor(cursor: string, patterns: readonly RegExp[]): string[] {
  const parts = parseParts(cursor);
  if (parts.length !== patterns.length || !parts.every((part, at) => patterns[at]?.test(part))) {
    throw new BadInput('INVALID_CURSOR', 'the cursor is not one that this list gave: leave it out to begin again');
  }
  return parts;
}

function parseParts(cursor: string): string[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return Array.isArray(parsed) && parsed.every((part) => typeof part === 'string') ? parsed : [];
  } catch {
    return [];
  }
}
