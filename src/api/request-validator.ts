import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { asObject } from './json-object.ts';

/**
 * Text of a path, a query or a header is made into the number or the yes that its schema asks for, here only where it is
 * written as one: nobody who sends `limit=true` means one.
 */
export const requestValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  return (value: unknown) => {
    // Most is text that stays text, and making it anew takes longer than looking at it.
    if (check.Check(value)) return { value };
    const read = httpPart === 'body' ? value : readTexts(schema, value);
    return check.Check(read) ? { value: read } : { error: check.Errors(read) };
  };
};

function readTexts(schema: TSchema, given: unknown): unknown {
  const properties = asObject(asObject(schema)['properties']);
  const entries = Object.entries(asObject(given));
  return Object.fromEntries(
    entries.map(([name, value]) => [name, readText(asObject(properties[name])['type'], value)]),
  );
}

function readText(type: unknown, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}
