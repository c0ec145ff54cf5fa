import { FormatError } from '../filecoin/format-error.ts';
import {
  decodeProof,
  decodeProofList,
  proofFromJson,
  proofListFromJson,
  type InclusionProof,
} from '../filecoin/inclusion-proof.ts';

const OPENING_BRACE = 0x7b;

/**
 * The proofs of a file or an answer, in either form: one proof, or the list that the service answers.
 * Throws FormatError PROOF_INVALID.
 */
export function readProofs(bytes: Uint8Array): readonly InclusionProof[] {
  if (bytes[0] === OPENING_BRACE) return readJson(new TextDecoder().decode(bytes));
  return isCborList(bytes) ? decodeProofList(bytes).items : [decodeProof(bytes)];
}

function readJson(text: string): readonly InclusionProof[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError('PROOF_INVALID', `the proof is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  return typeof value === 'object' && value !== null && 'items' in value
    ? proofListFromJson(value).items
    : [proofFromJson(value)];
}

/** A map of two fields: the list; a proof has twelve. */
function isCborList(bytes: Uint8Array): boolean {
  return bytes[0] === 0xa2;
}
