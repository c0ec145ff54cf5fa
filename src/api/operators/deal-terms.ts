import { Type } from 'typebox';
import type { DealTerms } from '../../deals/status/deal-terms.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { exactly, nullableNumber, nullableText } from '../answers/schemas.ts';

/** Money in attoFIL, as text. */
export const termsSchema = exactly({
  client: Type.String({ description: 'address that pays', examples: ['f3s6s5...'] }),
  verified: Type.Boolean(),
  pieceSize: Type.Number({ description: 'padded' }),
  pricePerEpoch: Type.String({ description: 'attoFIL', examples: ['0'] }),
  providerCollateral: Type.String({ description: 'attoFIL', examples: ['7400000000000000'] }),
  policyVersion: Type.Integer(),
  startEpoch: Type.Integer(),
  endEpoch: Type.Integer(),
  publishMessage: Type.Union([Type.String(), Type.Null()], {
    examples: ['bafy2bzaceb4o5yi2jd2rffhfvuuwcvqtwm5y3hpmmqj7b4szqdpwznpjafpis'],
  }),
  publishedEpoch: nullableNumber,
  sectorNumber: Type.Union([Type.String(), Type.Null()], { examples: ['104217'] }),
  sectorStartEpoch: nullableNumber,
  nextAttempt: nullableText,
});

export function termsAnswer({ pieceBytes, sectorNumber, nextAttemptAt, ...terms }: DealTerms) {
  return {
    ...terms,
    pieceSize: Number(pieceBytes),
    sectorNumber: sectorNumber === null ? null : sectorNumber.toString(),
    nextAttempt: nextAttemptAt === null ? null : formatOffsetTime(nextAttemptAt, 'microseconds'),
  };
}
