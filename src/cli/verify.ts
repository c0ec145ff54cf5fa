import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { readProofs } from '../client/read-proofs.ts';
import { verify as verifyCar, type CarVerification, type DealChecks } from '../client/verify-car.ts';
import type { Inclusion } from '../client/verify.ts';
import { machineHashPairs } from '../hashing/commp-engine.ts';
import { BadInput } from '../errors.ts';
import { verifyBlock } from '../filecoin/block-hash.ts';
import { FormatError } from '../filecoin/format-error.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import { formatBytes } from '../filecoin/units.ts';
import type { Env } from '../config.ts';
import { jsonOption, parseCommand, positional, type Command } from './command.ts';
import { clientOptions, orCommandError, serviceClient, type ServiceClient } from './service-client.ts';

const usage = 'verify FILE.car [--proof FILE] [--rpc URL] [--url URL] [--token TOKEN] [--json]';

const options = { ...jsonOption, ...clientOptions, proof: { type: 'string' }, rpc: { type: 'string' } } as const;

export const verify: Command = {
  usage,
  summary: 'check without trusting the service that a CAR lies in a piece, and on chain that deals hold the piece',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, options);
    const file = positional({ positionals, usage }, 0, 'FILE.car');
    const car = await openFile(file);
    const proofs = values.proof === undefined ? undefined : await readProofFile(values.proof);
    const report = await orCommandError(() =>
      verifyCar(clientFor(values, io.env), car, {
        hashing: { hashPairs: machineHashPairs(), verifyBlock },
        signal: io.signal,
        ...(proofs && { proofs }),
        ...(values.rpc !== undefined && { chain: { url: values.rpc } }),
      }),
    );
    if (values.json) io.print(JSON.stringify({ ...report, evidence: undefined }));
    else for (const line of describe(report)) io.print(line);
    return report.verified ? 0 : 1;
  },
};

/** With a proof at hand no service is asked, so that none need be configured. */
function clientFor(given: { url?: string; token?: string; proof?: string }, env: Env): ServiceClient {
  return given.proof === undefined ? serviceClient(given, env, 'read') : { url: '', token: '' };
}

/** Node throws in two ways when there is no such file, one of them before there is a promise. */
async function openFile(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (cause) {
    throw new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause });
  }
}

async function readProofFile(path: string): Promise<readonly InclusionProof[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause });
  });
  try {
    return readProofs(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new BadInput(cause.code, `${path}: ${cause.message}`, { cause, details: cause.details });
  }
}

function* describe(report: CarVerification): Generator<string> {
  const { root, proofs: results, evidence: proofs, deals, uncoveredBlocks, firstUncovered = [] } = report;
  for (const [at, result] of results.entries()) {
    yield result.verified
      ? describeInclusion(result)
      : `NOT proven: proof ${at + 1}: ${result.reason} (${result.code})`;
    for (const check of deals?.[at] ?? []) yield describeDeal(check);
    if (result.verified && deals !== undefined && proofs[at]?.deals.length === 0) {
      yield 'NOT proven: that a deal holds the piece: the proof names none that is active';
    }
  }
  if (results.length === 0) yield `NOT proven: there is no proof for ${root}`;
  else if (uncoveredBlocks === 0 && results.every((result) => result.verified && result.otherBlocks > 0)) {
    yield `proven: together the ${results.length} parts hold all blocks of the CAR`;
  } else if (uncoveredBlocks !== null && uncoveredBlocks > 0) {
    yield `NOT proven: ${uncoveredBlocks} blocks of the CAR are in no proof that holds: ${firstUncovered.join(', ')}`;
    yield 'parts of a cut upload that are not sealed yet have no proof: lading status tells of them';
  }
  yield* describeLimits(report);
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

/** What nothing here has looked at; once, however many proofs there are. */
function* describeLimits({ proofs: results, evidence, deals }: CarVerification): Generator<string> {
  const held = evidence.filter((_, at) => results[at]?.verified);
  const ids = [...new Set(held.flatMap((proof) => proof.deals))];
  if (deals === undefined && held.length > 0) {
    const what =
      held.length === 1 ? 'a deal holds the piece (the proof names' : 'deals hold the pieces (the proofs name';
    yield `not checked: whether ${what} ${ids.length === 0 ? 'none' : ids.join(', ')}); give --rpc URL of a Lotus node`;
  }
  const paths = held.map(({ batchRootCid, selector }) => `the batch root ${batchRootCid} to the upload, ${selector}`);
  for (const path of new Set(paths)) yield `not checked: the path from ${path}`;
}
