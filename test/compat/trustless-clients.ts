import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CID } from 'multiformats/cid';

/** What is called of Helia's client of trustless gateways (@helia/trustless-gateway-client), which has no types where it is not installed. */
export interface BlockBroker {
  retrieve(cid: CID, options: { validateFn(block: Uint8Array): Promise<void> }): Promise<Uint8Array>;
}

interface HeliaModule {
  trustlessGatewayBlockBroker(options: {
    allowInsecure: boolean;
    allowLocal: boolean;
    transformRequestInit(init: RequestInit): RequestInit;
  }): (components: { routing: object; logger: object }) => BlockBroker;
}

export interface Block {
  cid: CID;
  bytes: Uint8Array;
}

/** What is called of dagula, which walks a DAG over whatever gives it blocks, and checks the hash of each. */
interface DagulaModule {
  Dagula: new (blockstore: {
    get(cid: CID): Promise<Block | undefined>;
  }) => {
    get(cid: string): AsyncIterable<Block>;
    getPath(path: string, options?: { dagScope?: string }): AsyncIterable<Block>;
  };
}

interface LoggerModule {
  defaultLogger(): object;
}

interface MultiaddrModule {
  multiaddr(text: string): object;
}

const at = (path: string) => fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));
const HELIA = at('@helia/trustless-gateway-client/dist/src/index.js');
const DAGULA = at('dagula/index.js');

export const isInstalled = existsSync(HELIA) && existsSync(DAGULA);

if (!isInstalled) {
  console.error('!!! TRUSTLESS CLIENTS ARE NOT TESTED: npm ci --prefix test/compat --ignore-scripts installs them');
}

/** The clients as npm has them; a test that needs one is skipped where they are not installed. */
export async function loadClients() {
  return {
    helia: (await import(HELIA)) as HeliaModule,
    dagula: (await import(DAGULA)) as DagulaModule,
    logger: (await import(at('@libp2p/logger/dist/src/index.js'))) as LoggerModule,
    multiaddr: (await import(at('@multiformats/multiaddr/dist/src/index.js'))) as MultiaddrModule,
  };
}
