import { expect, test } from 'vitest';
import { Slots } from '../../src/storage/slots.ts';

test('no more than so many at once, first come first served', async () => {
  const slots = new Slots(2);
  const order: number[] = [];
  let held = 0;
  let most = 0;
  const work = async (number: number) => {
    await slots.take();
    order.push(number);
    most = Math.max(most, (held += 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
    held -= 1;
    slots.give();
  };
  await Promise.all(Array.from({ length: 9 }, (_, number) => work(number)));
  expect(most).toBe(2);
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});
