import { Type, type Static } from 'typebox';
import { expect, expectTypeOf, test } from 'vitest';
import { statusProperties } from '../../src/api/uploads/status-answer.ts';
import type { Change, UploadStatus } from '../../src/client/client.ts';
import type { Change as ServiceChange } from '../../src/events/change.ts';

const answer = Type.Object({ cid: Type.String(), ...statusProperties });
type Answer = Static<typeof answer>;

/** The client has types of its own, as its package has no part of the service in it: here they are held together. */
test('what the client says an answer and a change hold is what the service gives', () => {
  expectTypeOf<Answer>().toExtend<UploadStatus>();
  expectTypeOf<keyof UploadStatus>().toEqualTypeOf<keyof Answer>();
  expectTypeOf<UploadStatus['deals'][number]>().toEqualTypeOf<Answer['deals'][number]>();
  expectTypeOf<keyof UploadStatus['pin']>().toEqualTypeOf<keyof Answer['pin']>();
  expectTypeOf<NonNullable<UploadStatus['queueing']>>().toEqualTypeOf<NonNullable<Answer['queueing']>>();
  expectTypeOf<Change>().toEqualTypeOf<ServiceChange>();
  expect(Object.keys(answer.properties)).toContain('deals');
});
