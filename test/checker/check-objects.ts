import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { filesBelow } from '../support/temporary-folder.ts';

/** The local store's layout, spelled out once more: objects/<first byte of sha2-256 of the key>/<key, ~ for />. */
function objectPath(storeFolder: string, key: string): string {
  const shard = createHash('sha256').update(key).digest('hex').slice(0, 2);
  return join(storeFolder, 'objects', shard, key.replaceAll('/', '~'));
}

/** The objects of a store as files, found without the store. */
export interface StoreFiles {
  pathOf(key: string): string;
  keys(): Promise<string[]>;
}

export function localFiles(storeFolder: string): StoreFiles {
  return {
    pathOf: (key) => objectPath(storeFolder, key),
    keys: async () => {
      const files = await readdir(join(storeFolder, 'objects'), { recursive: true, withFileTypes: true });
      return files.filter((file) => file.isFile()).map(({ name }) => name.replaceAll('~', '/'));
    },
  };
}

/** The bucket of an S3 server that keeps each object as the file of its name, below a prefix. */
export function bucketFiles(bucketFolder: string, prefix: string): StoreFiles {
  const folder = join(bucketFolder, prefix);
  return {
    pathOf: (key) => join(folder, key),
    keys: () => filesBelow(folder),
  };
}

/** Every object that a row names is there whole; every object that is there has a row that names it. */
export async function brokenObjects(client: Client, files: StoreFiles): Promise<string[]> {
  // A part that came late may repeat blocks of earlier ones at its end, and the last upload of a segment may be removed:
  // no row names these bytes.
  const { rows } = await client.query<{ key: string; bytes: string; whole: boolean }>(
    `select object_key as key, max(object_offset + length_bytes) as bytes, min(run_seq) = 0 and object_key not like 'runs/s-%' as whole
       from parts group by 1
     union all select tree_key, tree_bytes, true from aggregates where tree_key is not null and released_at is null
     union all select r.object_key, a.car_bytes, true from restorations r join aggregates a on a.id = r.aggregate_id
       where r.object_key is not null
     union all select proofs_key, 0, false from aggregates where proofs_key is not null`,
  );
  const broken: string[] = [];
  for (const { key, bytes, whole } of rows) {
    const size = await stat(files.pathOf(key)).then(
      (file) => file.size,
      () => -1,
    );
    if (whole ? size !== Number(bytes) : size < Number(bytes))
      broken.push(`object ${key} has ${size} bytes, its row says ${bytes}`);
  }
  const named = new Set(rows.map(({ key }) => key));
  for (const key of await files.keys()) {
    if (!named.has(key)) broken.push(`object ${key} is in the store, and no row names it`);
  }
  return broken;
}
