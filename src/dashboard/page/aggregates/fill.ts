import type { ListedAggregate } from '../answers.ts';
import type { Tone } from '../parts/chip.ts';

/** Of an open aggregate how much of its room is taken; of a sealed one how much of its CAR is uploads, not padding. */
export function fillOf({ state, length, capacity, carSize }: ListedAggregate): {
  value: number;
  max: number;
  tone: Tone;
} {
  if (state !== 'sealed') return { value: length, max: capacity, tone: state === 'open' ? 'busy' : 'wait' };
  return { value: length, max: carSize ?? capacity, tone: 'good' };
}
