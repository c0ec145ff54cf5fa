import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { checkDeal, type ChainDeal } from '../client/check-deal.ts';
import { readCarFile } from '../client/read-car.ts';
import { readProofs } from '../client/read-proofs.ts';
import { verifyUpload, type Inclusion, type NotVerified, type UploadVerification } from '../client/verify.ts';
import { machineHashPairs } from '../hashing/commp-engine.ts';
import { BadInput, LadingError } from '../errors.ts';
import { verifyBlock } from '../filecoin/block-hash.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { formatBytes } from '../filecoin/units.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import type { Io } from '../terminal.ts';
import { clientOptions, request, serviceClient, type ServiceClient } from './service-client.ts';

const usage = 'verify FILE.car [--proof FILE] [--rpc URL] [--url URL] [--token TOKEN] [--json]';

const options = { ...jsonOption, ...clientOptions, proof: { type: 'string' }, rpc: { type: 'string' } } as const;

export const verify: Command = {
  usage,
  summary: 'check without trusting the service that a CAR lies in a piece, and on chain that deals hold the piece',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, options);
    const file = positional({ positionals, usage }, 0, 'FILE.car');
    const car = await openFile(file);
    const proofs = await orBadInput(async () =>
      values.proof === undefined ? await fetchProofs(values, car, io) : readProofs(await readProofFile(values.proof)),
    );
    const hashing = { hashPairs: machineHashPairs(), verifyBlock };
    const inclusion = await orBadInput(() => verifyUpload({ car, proofs, hashing }));
    const deals = values.rpc === undefined ? undefined : await checkDeals(values.rpc, proofs, inclusion);
    const report = { ...inclusion, ...(deals === undefined ? {} : { deals }), verified: isProven(inclusion, deals) };
    if (values.json) io.print(JSON.stringify(report));
    else for (const line of describe(inclusion, deals, proofs)) io.print(line);
    return report.verified ? 0 : 1;
  },
};

async function orBadInput<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new BadInput(cause.code, cause.message, { cause, details: cause.details });
  }
}

/** Node throws in two ways when there is no such file, one of them before there is a promise. */
async function openFile(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (cause) {
    throw new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause });
  }
}

async function readProofFile(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause });
  });
}

/** All pages of the service's answer; with the order of the blocks, unless there are too many to list (parts need it). */
async function fetchProofs(given: { url?: string; token?: string }, car: Blob, io: Io): Promise<InclusionProof[]> {
  const client = serviceClient(given, io.env, 'read');
  const [root] = (await readCarFile(car)).roots;
  if (root === undefined) throw new BadInput('CAR_NO_ROOT', 'the CAR names no root, so no proof can be asked for');
  const path = `/uploads/${canonicalCid(root)}/proof`;
  try {
    return await fetchPages(client, `${path}?blocks=1`, io.signal);
  } catch (error) {
    if (!(error instanceof LadingError) || !error.message.includes('"TOO_MANY_BLOCKS"')) throw error;
    return fetchPages(client, `${path}?blocks=0`, io.signal);
  }
}

/** An upload lies in a few aggregates, or is cut into some; a service that goes on for longer is not followed. */
const MAX_PAGES = 1_000;

async function fetchPages(client: ServiceClient, path: string, signal: AbortSignal): Promise<InclusionProof[]> {
  const proofs: InclusionProof[] = [];
  let next: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const cursor: string = next === null ? '' : `&cursor=${encodeURIComponent(next)}`;
    const response = await request(client, path + cursor, { signal });
    const bytes = await response.bytes();
    proofs.push(...readProofs(bytes));
    next = nextOf(bytes);
    if (next === null) break;
  }
  return proofs;
}

function nextOf(bytes: Uint8Array): string | null {
  const answer: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof answer !== 'object' || answer === null || !('next' in answer)) return null;
  return typeof answer.next === 'string' ? answer.next : null;
}

/** For each proof that holds, what the chain says of each of its deals. */
type DealChecks = (ChainDeal | (NotVerified & { dealId: number }))[][];

async function checkDeals(
  url: string,
  proofs: readonly InclusionProof[],
  { proofs: results }: UploadVerification,
): Promise<DealChecks> {
  const checks: DealChecks = [];
  for (const [at, proof] of proofs.entries()) {
    const found: DealChecks[number] = [];
    for (const dealId of results[at]?.verified ? proof.deals : []) {
      const check = await checkDeal({ url }, { dealId, proof });
      found.push(check.verified ? check : { ...check, dealId });
    }
    checks.push(found);
  }
  return checks;
}

/** With an RPC endpoint each piece needs a deal that is active; a deal that says otherwise counts for nothing. */
function isProven({ verified }: UploadVerification, deals: DealChecks | undefined): boolean {
  if (deals === undefined) return verified;
  return verified && deals.every((checks) => checks.some((check) => check.verified && check.state === 'active'));
}

function* describe(
  { root, proofs: results, uncoveredBlocks, firstUncovered = [] }: UploadVerification,
  deals: DealChecks | undefined,
  proofs: readonly InclusionProof[],
): Generator<string> {
  for (const [at, result] of results.entries()) {
    yield result.verified
      ? describeInclusion(result)
      : `NOT proven: proof ${at + 1}: ${result.reason} (${result.code})`;
    for (const check of deals?.[at] ?? []) yield describeDeal(check);
    if (result.verified) yield* describeLimits(proofs[at], deals?.[at]);
  }
  if (results.length === 0) yield `NOT proven: there is no proof for ${root}`;
  else if (uncoveredBlocks === 0 && results.every((result) => result.verified && result.otherBlocks > 0)) {
    yield `proven: together the ${results.length} parts hold all blocks of the CAR`;
  } else if (uncoveredBlocks !== null && uncoveredBlocks > 0) {
    yield `NOT proven: ${uncoveredBlocks} blocks of the CAR are in no proof that holds: ${firstUncovered.join(', ')}`;
    yield 'parts of a cut upload that are not sealed yet have no proof: GET /check/{cid} tells of them';
  }
}

function describeInclusion({ blockCount, otherBlocks, root, start, end, pieceCid, pieceSize }: Inclusion): string {
  const which = otherBlocks === 0 ? `all ${blockCount} blocks` : `${blockCount} blocks (${otherBlocks} others not)`;
  const place = `at bytes ${start} to ${end} of its CAR`;
  return `proven: ${which} of ${root} lie in the piece ${pieceCid} (${formatBytes(pieceSize)}), ${place}`;
}

function describeDeal(check: DealChecks[number][number]): string {
  if (!check.verified) return `NOT proven: deal ${check.dealId}: ${check.reason} (${check.code})`;
  const { dealId, provider, state, startEpoch, endEpoch, namesBatchRoot } = check;
  const label = namesBatchRoot ? ', its label names the batch root' : ', its label does NOT name the batch root';
  return `on chain: deal ${dealId} with ${provider} for this piece is ${state}, epochs ${startEpoch} to ${endEpoch}${label}`;
}

/** What nothing here has looked at. */
function* describeLimits(proof: InclusionProof | undefined, checks: DealChecks[number] | undefined): Generator<string> {
  if (proof === undefined) return;
  if (checks === undefined) {
    const named = proof.deals.length === 0 ? 'the proof names none' : `the proof names ${proof.deals.join(', ')}`;
    yield `not checked: whether a deal holds the piece (${named}); give --rpc URL of a Lotus node`;
  } else if (proof.deals.length === 0) {
    yield 'NOT proven: that a deal holds the piece: the proof names none that is active';
  }
  yield `not checked: the path from the batch root ${proof.batchRootCid} to the upload, ${proof.selector}`;
}
