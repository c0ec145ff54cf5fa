import { expect, test, vi } from 'vitest';
import { createFaultLog } from '../../src/jobs/job-faults.ts';

test('faults are told in words, whatever they are, and the same words once in a while', () => {
  let now = 0;
  const error = vi.fn();
  const tell = createFaultLog({ error }, { now: () => new Date(now) });
  tell({ message: 'connect ECONNREFUSED', queue: 'stow' });
  tell(new Error('connect ECONNREFUSED'));
  tell('something else');
  expect(error.mock.calls).toEqual([
    [{ err: 'connect ECONNREFUSED' }, 'jobs.error'],
    [{ err: 'something else' }, 'jobs.error'],
  ]);
  now += 30_000;
  tell({ message: 'connect ECONNREFUSED' });
  expect(error).toHaveBeenCalledTimes(3);
});
