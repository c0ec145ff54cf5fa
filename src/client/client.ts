/** What the package `lading/client` offers: the one file that gathers exports, as it is the package's door. */
export { createClient, type Client } from './create-client.ts';
export type { Connection } from './connection.ts';
export { ClientError } from './client-error.ts';
export { upload, type CarInput, type Uploaded, type UploadOptions, type UploadProgress } from './upload.ts';
export { check, type CallOptions } from './check.ts';
export { checkMany, type CheckedUpload } from './check-many.ts';
export type { Deal, EtaActive, Pin, Queueing, UploadStatus } from './upload-status.ts';
export { watch, type Change, type ChangedDeal, type WatchOptions } from './watch.ts';
export { proof } from './proof.ts';
export { verify, type CarVerification, type DealChecks, type VerifyOptions } from './verify-car.ts';
export { checkDeal, type ChainDeal, type ChainNode } from './check-deal.ts';
export { readProofs } from './read-proofs.ts';
export type { CarSource } from './read-car.ts';
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
