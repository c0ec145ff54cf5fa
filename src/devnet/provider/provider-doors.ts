import type { Libp2p, PrivateKey } from '@libp2p/interface';

import { startCurioFront, type FrontAnswerer } from './curio-front.ts';
import { startPieceDoor, type PieceFinder } from './piece-door.ts';
import { startCurioHost, startHost } from './provider-host.ts';
import type { Software } from './provider-persona.ts';

/** Where a provider can be reached. */
export interface Doors {
  host: Libp2p;
  /** Without the peer id, as they stand on the chain. */
  multiaddrs: readonly string[];
  /** Where pieces are served over HTTP. */
  retrieval: readonly string[];
  close(): Promise<void>;
}

export interface DoorsOptions {
  software: Software;
  /** The address of an earlier run, which is taken again where it is free. */
  before: string | undefined;
  /** Answers what comes over HTTP. */
  answer: FrontAnswerer;
  findPiece: PieceFinder;
}

/** Boost listens for TCP; Curio for WebSockets and HTTP on one port, in front of its libp2p. */
export function openDoors(key: PrivateKey, options: DoorsOptions): Promise<Doors> {
  return options.software === 'curio' ? openCurioDoors(key, options) : openBoostDoors(key, options);
}

async function openBoostDoors(key: PrivateKey, { before, findPiece }: DoorsOptions): Promise<Doors> {
  const host = await startHost(key, before);
  const pieces = await startPieceDoor(findPiece);
  const close = async (): Promise<void> => {
    await pieces.close();
    await host.stop();
  };
  return { host, multiaddrs: addressesOf(host), retrieval: [`/ip4/127.0.0.1/tcp/${pieces.port}/http`], close };
}

async function openCurioDoors(key: PrivateKey, { before, answer, findPiece }: DoorsOptions): Promise<Doors> {
  const host = await startCurioHost(key);
  const innerPort = portOf(addressesOf(host)[0]) ?? 0;
  const front = await startCurioFront({ innerPort, port: portOf(before), answer, findPiece });
  const close = async (): Promise<void> => {
    await front.close();
    await host.stop();
  };
  const at = `/ip4/127.0.0.1/tcp/${front.port}`;
  return { host, multiaddrs: [`${at}/ws`], retrieval: [`${at}/http`], close };
}

function addressesOf(host: Libp2p): string[] {
  return host.getMultiaddrs().map((address) => address.toString().replace(/\/p2p\/.*$/, ''));
}

function portOf(multiaddr: string | undefined): number | undefined {
  const port = /\/tcp\/(\d+)/.exec(multiaddr ?? '')?.[1];
  return port === undefined ? undefined : Number(port);
}
