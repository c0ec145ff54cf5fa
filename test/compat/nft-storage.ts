import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What is called of the nft.storage client (npm, 7.2), which has no types where it is not installed. */
export interface NftStorage {
  storeBlob(blob: Blob): Promise<string>;
  storeDirectory(files: Iterable<File>): Promise<string>;
  storeCar(car: Blob | CarReader, options?: StoreOptions): Promise<string>;
  store(token: object): Promise<{ ipnft: string; url: string }>;
  check(cid: string): Promise<Found>;
  status(cid: string): Promise<Found & { size: number; created: Date }>;
  delete(cid: string): Promise<void>;
}

export interface Found {
  cid: string;
  pin: { status: string };
  deals: { status: string; chainDealID?: number; datamodelSelector?: string; lastChanged: Date }[];
}

interface StoreOptions {
  maxChunkSize?: number;
  maxRetries?: number;
  onStoredChunk?: (bytes: number) => void;
}

interface CarReader {
  getRoots(): Promise<unknown[]>;
}

interface Encoded {
  cid: { toString(): string };
  car: CarReader;
}

interface NftStorageModule {
  NFTStorage: {
    new (options: { token: string; endpoint: URL; rateLimiter?: () => Promise<void> }): NftStorage;
    encodeBlob(blob: Blob): Promise<Encoded>;
    encodeDirectory(files: Iterable<File>): Promise<Encoded>;
  };
  File: typeof File;
  Blob: typeof Blob;
}

const ENTRY = fileURLToPath(new URL('node_modules/nft.storage/src/lib.js', import.meta.url));

export const isInstalled = existsSync(ENTRY);

if (!isInstalled) {
  console.error('!!! THE NFT.STORAGE CLIENT IS NOT TESTED: npm ci --prefix test/compat --ignore-scripts installs it');
}

/** The client as npm has it; a test that needs it is skipped where it is not installed. */
export async function loadNftStorage(): Promise<NftStorageModule> {
  return (await import(ENTRY)) as NftStorageModule;
}
