import { fileURLToPath } from 'node:url';
import { openLocalStore } from './local-store.ts';
import { parseS3Url } from './s3-url.ts';
import type { ServiceStore } from './store.ts';

/** Opens the store that STORE_URL names. The SDK of S3 takes 0.3 s to load, so only who needs it loads it. */
export async function openStore(url: string): Promise<ServiceStore> {
  if (!url.startsWith('s3:')) return openLocalStore(fileURLToPath(url));
  const { openS3Store } = await import('./s3-store.ts');
  return openS3Store(parseS3Url(url));
}
