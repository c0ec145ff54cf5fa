import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { check, type CallOptions } from './check.ts';
import { checkMany, type CheckedUpload } from './check-many.ts';
import type { Connection } from './connection.ts';
import { proof } from './proof.ts';
import type { CarSource } from './read-car.ts';
import { upload, type CarInput, type Uploaded, type UploadOptions } from './upload.ts';
import type { UploadStatus } from './upload-status.ts';
import { verify, type CarVerification, type VerifyOptions } from './verify-car.ts';
import { watch, type Change, type WatchOptions } from './watch.ts';

/** What a service does for its users; each is also a function by itself, that takes the connection first. */
export interface Client {
  upload(car: CarInput, options?: UploadOptions): Promise<Uploaded>;
  check(cid: string, options?: CallOptions): Promise<UploadStatus | undefined>;
  checkMany(cids: readonly string[], options?: CallOptions): Promise<CheckedUpload[]>;
  watch(cids: string | readonly string[], options?: WatchOptions): AsyncGenerator<Change, void, undefined>;
  proof(cid: string, options?: CallOptions): Promise<InclusionProof[]>;
  verify(car: CarSource, options?: VerifyOptions): Promise<CarVerification>;
}

/** Opens nothing: each call is a request of its own. */
export function createClient(connection: Connection): Client {
  return {
    upload: (car, options) => upload(connection, car, options),
    check: (cid, options) => check(connection, cid, options),
    checkMany: (cids, options) => checkMany(connection, cids, options),
    watch: (cids, options) => watch(connection, cids, options),
    proof: (cid, options) => proof(connection, cid, options),
    verify: (car, options) => verify(connection, car, options),
  };
}
