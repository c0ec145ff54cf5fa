import { startEmbedded } from '../../src/db/embedded.ts';
import { silentLog } from '../../src/log/log.ts';

/** The embedded database of a service that has ended, for as long as `act` takes. */
export async function withStoppedDatabase<T>(dataDir: string, act: (url: string) => Promise<T>): Promise<T> {
  await using embedded = await startEmbedded({ dataDir, log: silentLog, signal: new AbortController().signal });
  return await act(embedded.url);
}
