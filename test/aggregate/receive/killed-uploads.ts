import { car, cborNode, rawBlock, section, type Block } from '../../support/car-builder.ts';

/** Where a receiver may be killed. */
export const failPoints = [
  'staged',
  'written',
  'object-commit',
  'object-committed',
  'before-transaction',
  'rows-written',
  'settled',
  'remove',
  'removed',
] as const;

export type FailPoint = (typeof failPoints)[number];

export interface ReceiverOrder {
  url: string;
  folder: string;
  point: FailPoint;
  nth: number;
  groups: boolean;
}

export const UPLOADS = 36;
/** Every so many comes in two parts, and every so many again as a whole before its parts are all there. */
const IN_PARTS = 3;
const THEN_WHOLE = 5;

export function uploadOf(number: number): { root: string; blocks: Block[] } {
  const leaves = Array.from({ length: 2 + (number % 9) }, (_, at) => rawBlock(`${number}: leaf ${at} `.repeat(200)));
  const top = cborNode({ number, to: leaves.map(({ cid }) => cid) });
  return { root: top.cid.toString(), blocks: [top, ...leaves] };
}

/** What is sent of the upload, one after another. */
export function carsOf(number: number): Buffer[] {
  const { blocks } = uploadOf(number);
  const [top, first, ...rest] = blocks;
  if (top === undefined || first === undefined) throw new Error('an upload has a top and leaves');
  const whole = car([top.cid], blocks);
  const half = car([top.cid], [top, first]);
  if (number % THEN_WHOLE === 0) return [half, whole];
  return number % IN_PARTS === 0 ? [half, car([top.cid], [top, ...rest])] : [whole];
}

/** The sections of the upload, as hex, sorted. */
export function expectedSections(number: number): string[] {
  return uploadOf(number)
    .blocks.map((block) => section(block).toString('hex'))
    .sort();
}
