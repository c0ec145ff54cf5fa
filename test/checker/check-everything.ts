import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { brokenBytes, brokenProposals } from './check-bytes.ts';
import { brokenChainClaims } from './check-chain.ts';
import { brokenObjects, localFiles, type StoreFiles } from './check-objects.ts';
import { brokenRowRules } from './check-rows.ts';

export interface Checked {
  databaseUrl: string;
  /** The folder of a local store, or the files of another. */
  store: string | StoreFiles;
  /** Undefined: the chain is not asked. */
  rpcUrl?: string;
}

/**
 * The independent checker: plain SQL and bytes read again, with nothing of the product but its formats. Answers every
 * broken invariant as a sentence; none means that database, store and chain tell one story.
 */
export async function checkEverything({ databaseUrl, store, rpcUrl }: Checked): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const files = typeof store === 'string' ? localFiles(store) : store;
    const read = (key: string) => readFile(files.pathOf(key));
    return [
      ...(await brokenRowRules(client)),
      ...(await brokenProposals(client)),
      ...(await brokenObjects(client, files)),
      ...(await brokenBytes(client, read)),
      ...(rpcUrl === undefined ? [] : await brokenChainClaims(client, rpcUrl)),
    ];
  } finally {
    await client.end();
  }
}
