import { canonicalCid, parseCid } from '../filecoin/cid.ts';
import type { InclusionProof } from '../filecoin/inclusion-proof.ts';
import type { CallOptions } from './check.ts';
import { ClientError, withClientErrors } from './client-error.ts';
import { ask, type Connection } from './connection.ts';
import { fieldOf } from './field-of.ts';
import { readProofs } from './read-proofs.ts';

/** An upload lies in a few aggregates, or is cut into some; a service that goes on for longer is not followed. */
const MAX_PAGES = 1_000;
/** The service may read what lies around the upload from its store before it answers. */
const PROOF_TIMEOUT_MS = 5 * 60_000;

/**
 * All proofs of an upload: one, unless it was cut or lies in several aggregates; with the order of its blocks, unless they
 * are too many to list. Throws ClientError: `NOT_SEALED` while its aggregate is open.
 */
export async function proof(connection: Connection, cid: string, options: CallOptions = {}): Promise<InclusionProof[]> {
  return withClientErrors(async () => {
    const path = `/uploads/${canonicalCid(parseCid(cid))}/proof`;
    try {
      return await readPages(connection, `${path}?blocks=1`, options);
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== 'TOO_MANY_BLOCKS') throw error;
      return readPages(connection, `${path}?blocks=0`, options);
    }
  });
}

async function readPages(connection: Connection, path: string, { signal }: CallOptions): Promise<InclusionProof[]> {
  const proofs: InclusionProof[] = [];
  let cursor = '';
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const request = { path: path + cursor, signal, timeoutMs: PROOF_TIMEOUT_MS };
    const text = await ask(connection, request, (response) => response.text());
    proofs.push(...readProofs(new TextEncoder().encode(text)));
    const next = fieldOf(JSON.parse(text), 'next');
    if (typeof next !== 'string') break;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
  return proofs;
}
