import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { brokenBytes, brokenProposals } from './check-bytes.ts';
import { brokenChainClaims } from './check-chain.ts';
import { brokenObjects, objectPath } from './check-objects.ts';
import { brokenRowRules } from './check-rows.ts';

export interface Checked {
  databaseUrl: string;
  /** The folder of a local store. */
  storeFolder: string;
  /** Undefined: the chain is not asked. */
  rpcUrl?: string;
}

/**
 * The independent checker: plain SQL and bytes read again, with nothing of the product but its formats. Answers every
 * broken invariant as a sentence; none means that database, store and chain tell one story.
 */
export async function checkEverything({ databaseUrl, storeFolder, rpcUrl }: Checked): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const read = (key: string) => readFile(objectPath(storeFolder, key));
    return [
      ...(await brokenRowRules(client)),
      ...(await brokenProposals(client)),
      ...(await brokenObjects(client, storeFolder)),
      ...(await brokenBytes(client, read)),
      ...(rpcUrl === undefined ? [] : await brokenChainClaims(client, rpcUrl)),
    ];
  } finally {
    await client.end();
  }
}
