/** What the package `lading/client` offers: the one file that gathers exports, as it is the package's door. */
export { checkDeal, type ChainDeal, type ChainNode } from './check-deal.ts';
export { readProofs } from './read-proofs.ts';
export {
  verifyInclusion,
  verifyUpload,
  type Inclusion,
  type InclusionInput,
  type NotVerified,
  type UploadInput,
  type UploadVerification,
} from './verify.ts';
export { proofCid, type InclusionProof } from '../filecoin/inclusion-proof.ts';
