import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { asObject } from '../answers/json-object.ts';

/**
 * Text of a path, a query or a header is made into the number or the yes that its schema asks for, here only where it is
 * written as one: nobody who sends `limit=true` means one.
 */
export const requestValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  const types = httpPart === 'body' ? undefined : typesOf(schema);
  return (value: unknown) => {
    // Most is text that stays text, and making it anew takes longer than looking at it.
    if (check.Check(value)) return { value };
    const read = types === undefined ? value : readTexts(types, value);
    return check.Check(read) ? { value: read } : { error: tellPlainly(check.Errors(read)) };
  };
};

type Fault = ReturnType<ReturnType<typeof Compile>['Errors']>[number];

/** What is unknown is named, and what follows from another fault is left out: that a body could also be none. */
function tellPlainly(faults: readonly Fault[]): Fault[] {
  const told = faults.filter((fault) => !isEcho(fault));
  return (told.length > 0 ? told : faults).map((fault) =>
    fault.keyword === 'additionalProperties'
      ? {
          ...fault,
          message: `must not have ${fault.params.additionalProperties.join(', ')}: there is no such property`,
        }
      : fault,
  );
}

function isEcho(fault: Fault): boolean {
  if (fault.keyword === 'boolean') return fault.schemaPath.endsWith('/additionalProperties');
  return fault.keyword === 'anyOf' || (fault.keyword === 'type' && fault.params.type === 'null');
}

function typesOf(schema: TSchema): ReadonlyMap<string, unknown> {
  const { properties } = asObject(schema);
  return new Map(Object.entries(asObject(properties)).map(([name, property]) => [name, asObject(property)['type']]));
}

function readTexts(types: ReadonlyMap<string, unknown>, given: unknown): unknown {
  if (typeof given !== 'object' || given === null) return given;
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, readText(types.get(name), value)]));
}

function readText(type: unknown, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (type === 'integer' && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}
