import type { FastifySchemaCompiler } from 'fastify';
import { Type, type TSchema } from 'typebox';
import { expect, test } from 'vitest';
import { requestValidator } from '../../src/api/door/request-validator.ts';
import { exactly } from '../../src/api/answers/schemas.ts';

function validate(schema: TSchema, httpPart: string, value: unknown) {
  const compile: FastifySchemaCompiler<TSchema> = requestValidator;
  return compile({ schema, httpPart, method: 'GET', url: '/' })(value) as { value?: unknown; error?: unknown };
}

const query = exactly({ limit: Type.Optional(Type.Integer()), state: Type.Optional(Type.String()) });

test('text of a query becomes what its schema asks for', () => {
  expect(validate(query, 'querystring', { limit: '12', state: '12' }).value).toEqual({ limit: 12, state: '12' });
});

test('what is right already stays the same object', () => {
  const given = { state: 'active' };
  expect(validate(query, 'querystring', given).value).toBe(given);
});

test('what the schema does not allow is refused, and a body is taken as it was sent', () => {
  expect(validate(query, 'querystring', { limit: 'many' }).error).toBeDefined();
  expect(validate(query, 'querystring', { other: '1' }).error).toBeDefined();
  expect(validate(query, 'body', { limit: '12' }).error).toBeDefined();
});
