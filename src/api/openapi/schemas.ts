import { asObject } from '../answers/json-object.ts';

/** A schema with a title gets a place of its own, so that its name is told once and clients can be generated. */
export function hoist(given: unknown, schemas: Map<string, unknown>): unknown {
  if (Array.isArray(given)) return given.map((one) => hoist(one, schemas));
  if (typeof given !== 'object' || given === null) return given;
  const { title, ...rest } = asObject(given);
  const mapped = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, hoist(value, schemas)]));
  if (typeof title !== 'string') return title === undefined ? mapped : { ...mapped, title: hoist(title, schemas) };
  schemas.set(title, { title, ...mapped });
  return { $ref: `#/components/schemas/${title}` };
}
