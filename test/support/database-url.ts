import { DATABASE_USER } from '../../src/db/init-cluster.ts';

/** The URL of a database of the tests' server, which listens on a socket in `folder` alone. */
export function databaseUrl(folder: string, name: string): string {
  return `postgres://${DATABASE_USER}@/${name}?host=${encodeURIComponent(folder)}`;
}
