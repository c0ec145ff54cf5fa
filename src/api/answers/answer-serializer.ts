import type { FastifySerializerCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';

/**
 * Answers are written whole, as they are: a serializer made of the schema would drop in silence what the schema does not
 * know. With `strict` an answer that its schema does not allow is a fault, so that tests keep the schemas true.
 */
export function answerSerializer(strict = false): FastifySerializerCompiler<TSchema> {
  if (!strict) return () => JSON.stringify;
  return ({ schema, method, url }) =>
    (answer: unknown) => {
      const text = JSON.stringify(answer);
      const sent: unknown = JSON.parse(text);
      if (Check(schema, sent)) return text;
      const [first] = Errors(schema, sent);
      throw new Error(`${method} ${url} answers what its schema does not allow: ${JSON.stringify(first)} in ${text}`);
    };
}
