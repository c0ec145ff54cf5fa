import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostileCars, hostileLimits } from '../aggregate/receive/hostile-cars.ts';
import { apiFixture, bearer, countRows, noRows, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { filesBelow } from '../support/temporary-folder.ts';

/** One server for all: each must leave it as empty as it found it. */
let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await apiFixture({ limits: hostileLimits, groups: true });
});
afterAll(() => fixture[Symbol.asyncDispose]());

test.each(hostileCars)('$name is refused and leaves nothing', async ({ body, status, code, says }) => {
  const response = await fixture.server.inject({
    method: 'POST',
    url: '/upload',
    headers: { ...bearer(tokens.upload), 'content-type': 'application/vnd.ipld.car' },
    payload: body,
  });
  const { ok, error } = response.json<{ ok: boolean; error: { code: string; message: string } }>();
  expect({ status: response.statusCode, ok, code: error.code, message: error.message }).toEqual({
    status,
    ok: false,
    code: expect.stringMatching(code),
    message: expect.stringContaining(says ?? ''),
  });
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
  expect(fixture.jobs.sent).toEqual([]);
});
