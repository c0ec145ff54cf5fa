import { createHash } from 'node:crypto';
import { BadInput } from '../errors.ts';

/** File systems allow names of 255 bytes; the rest is room for what a store may add. */
const MAX_KEY_CHARS = 200;
/** Not in the alphabet of keys, so replacing `/` by it loses nothing. */
const SLASH_IN_FILE_NAME = '~';

/** Is the key `[a-z0-9/_.-]+`, relative, with no empty, `.` or `..` segment? */
export function isKey(key: string): boolean {
  const segments = key.split('/');
  return (
    key.length <= MAX_KEY_CHARS &&
    segments.every((segment) => /^[a-z0-9_.-]+$/.test(segment) && !/^\.\.?$/.test(segment))
  );
}

/** Throws `STORE_BAD_KEY` unless it is a key. */
export function checkKey(key: string): void {
  if (!isKey(key)) {
    throw new BadInput(
      'STORE_BAD_KEY',
      `'${key.slice(0, MAX_KEY_CHARS)}' is not an object key ([a-z0-9/_.-]+, no '..')`,
    );
  }
}

/** Where a key lies below the objects' folder: 256 folders by hash, so that none grows large, and one flat name. */
export function keyToFile(key: string): { shard: string; name: string } {
  checkKey(key);
  const shard = createHash('sha256').update(key).digest('hex').slice(0, 2);
  return { shard, name: key.replaceAll('/', SLASH_IN_FILE_NAME) };
}

export function fileToKey(name: string): string {
  return name.replaceAll(SLASH_IN_FILE_NAME, '/');
}
