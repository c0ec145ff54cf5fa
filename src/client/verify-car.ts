import { canonicalCid } from '../filecoin/cid.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { checkDeal, type ChainDeal, type ChainNode } from './check-deal.ts';
import { ClientError, withClientErrors } from './client-error.ts';
import type { Connection } from './connection.ts';
import type { Hashing } from './hash-portably.ts';
import { proof } from './proof.ts';
import { readCarFile, type CarSource } from './read-car.ts';
import { verifyUpload, type NotVerified, type UploadVerification } from './verify.ts';

export interface VerifyOptions {
  /** A node of the chain of your own choice: asked whether deals hold the pieces. Without it nothing says that they do. */
  chain?: ChainNode;
  /** Proofs that are at hand; asked of the service otherwise. */
  proofs?: readonly InclusionProof[];
  /** Something faster than JavaScript, where it is at hand. */
  hashing?: Hashing;
  signal?: AbortSignal;
}

/** For each proof that holds, what the chain says of each of its deals. */
export type DealChecks = (ChainDeal | (NotVerified & { dealId: number }))[][];

export interface CarVerification extends UploadVerification {
  /** What was checked against. */
  evidence: readonly InclusionProof[];
  /** Only with a node of the chain. */
  deals?: DealChecks;
}

/**
 * Checks without trusting the service that a CAR lies in pieces, byte for byte, and with a node of the chain that active
 * deals hold them. Throws ClientError when the CAR cannot be read or the service has no proof.
 */
export async function verify(
  connection: Connection,
  car: CarSource,
  options: VerifyOptions = {},
): Promise<CarVerification> {
  return withClientErrors(async () => {
    const { chain, hashing } = options;
    const proofs = options.proofs ?? (await proof(connection, await rootOf(car), options));
    const inclusion = await verifyUpload({ car, proofs, ...(hashing && { hashing }) });
    if (chain === undefined) return { ...inclusion, evidence: proofs };
    const deals = await checkDeals(chain, proofs, inclusion);
    return { ...inclusion, evidence: proofs, deals, verified: inclusion.verified && deals.every(hasActive) };
  });
}

/** Each piece needs a deal that is active; a deal that says otherwise counts for nothing. */
function hasActive(checks: DealChecks[number]): boolean {
  return checks.some((check) => check.verified && check.state === 'active');
}

async function rootOf(car: CarSource): Promise<string> {
  const [root] = (await readCarFile(car)).roots;
  if (root !== undefined) return canonicalCid(root);
  throw new ClientError('CAR_NO_ROOT', 'the CAR names no root, so no proof can be asked for');
}

async function checkDeals(
  chain: ChainNode,
  proofs: readonly InclusionProof[],
  { proofs: results }: UploadVerification,
): Promise<DealChecks> {
  const checks: DealChecks = [];
  for (const [at, one] of proofs.entries()) {
    const found: DealChecks[number] = [];
    for (const dealId of results[at]?.verified ? one.deals : []) {
      const check = await checkDeal(chain, { dealId, proof: one });
      found.push(check.verified ? check : { ...check, dealId });
    }
    checks.push(found);
  }
  return checks;
}
