import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';

/** The local store's layout, spelled out once more: objects/<first byte of sha2-256 of the key>/<key, ~ for />. */
export function objectPath(storeFolder: string, key: string): string {
  const shard = createHash('sha256').update(key).digest('hex').slice(0, 2);
  return join(storeFolder, 'objects', shard, key.replaceAll('/', '~'));
}

async function storedKeys(storeFolder: string): Promise<string[]> {
  const files = await readdir(join(storeFolder, 'objects'), { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile()).map(({ name }) => name.replaceAll('~', '/'));
}

/** Every object that a row names is there whole; every object that is there has a row that names it. */
export async function brokenObjects(client: Client, storeFolder: string): Promise<string[]> {
  const { rows } = await client.query<{ key: string; bytes: string }>(
    `select object_key as key, max(object_offset + length_bytes) as bytes from parts group by 1
     union all select tree_key, tree_bytes from aggregates where tree_key is not null`,
  );
  const broken: string[] = [];
  for (const { key, bytes } of rows) {
    const size = await stat(objectPath(storeFolder, key)).then(
      (file) => file.size,
      () => -1,
    );
    if (size !== Number(bytes)) broken.push(`object ${key} has ${size} bytes, its row says ${bytes}`);
  }
  const named = new Set(rows.map(({ key }) => key));
  for (const key of await storedKeys(storeFolder)) {
    if (!named.has(key)) broken.push(`object ${key} is in the store, and no row names it`);
  }
  return broken;
}
