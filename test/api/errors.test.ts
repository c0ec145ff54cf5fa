import { fastify } from 'fastify';
import { DatabaseError } from 'pg';
import { expect, test } from 'vitest';
import { answerErrors } from '../../src/api/answers/errors.ts';
import { BadInput, LadingError } from '../../src/errors.ts';
import { silentLog } from '../../src/log/log.ts';

function databaseError(code: string): Error {
  const error = new DatabaseError('secret words of the database', 10, 'error');
  error.code = code;
  return error;
}

async function answerTo(error: unknown, compatible: boolean) {
  const server = fastify();
  answerErrors(server, silentLog);
  server.get('/', { config: { access: 'public', compatible } }, () => {
    throw error;
  });
  return server.inject('/');
}

test.each([
  [new BadInput('SOMETHING_BAD', 'say what'), 400, 'SOMETHING_BAD'],
  [new LadingError('NOT_FOUND', 'not here'), 404, 'NOT_FOUND'],
  [new LadingError('STORE_FULL', 'no room'), 507, 'STORE_FULL'],
  [new LadingError('NEVER_LISTED', 'secret'), 500, 'INTERNAL'],
  [new Error('secret'), 500, 'INTERNAL'],
  [databaseError('42P01'), 500, 'INTERNAL'],
  [databaseError('57P03'), 503, 'UNAVAILABLE'],
  [databaseError('53300'), 503, 'UNAVAILABLE'],
  [Object.assign(new Error('connect secret'), { code: 'ECONNREFUSED' }), 503, 'UNAVAILABLE'],
])('%s becomes %i %s', async (error, status, code) => {
  const plain = await answerTo(error, false);
  expect(plain.statusCode).toBe(status);
  expect(plain.headers['content-type']).toContain('application/problem+json');
  expect(plain.json()).toMatchObject({ type: `/docs#${code}`, status, code, instance: expect.any(String) });
  const compatible = await answerTo(error, true);
  expect(compatible.statusCode).toBe(status);
  expect(compatible.json()).toEqual({ ok: false, error: { code, message: expect.any(String) } });
  expect(plain.body + compatible.body).not.toContain('secret');
  expect(plain.headers['retry-after']).toBe(status === 503 || status === 507 ? '60' : undefined);
});

test('details of bad input are told beside the words', async () => {
  const answer = await answerTo(
    new BadInput('HASH_MISMATCH', 'wrong', { details: { block: 'bafy', offset: 7 } }),
    false,
  );
  expect(answer.json()).toMatchObject({
    code: 'HASH_MISMATCH',
    detail: 'wrong',
    details: { block: 'bafy', offset: 7 },
  });
});
