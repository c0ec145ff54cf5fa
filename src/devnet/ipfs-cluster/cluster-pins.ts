import type { CID } from 'multiformats/cid';

/** What a peer may say of a pin. */
export type PeerStatus = 'pinned' | 'pinning' | 'pin_queued' | 'pin_error' | 'cluster_error' | 'remote' | 'unpinned';

/** What goes wrong, until it is set right. */
export interface ClusterFaults {
  /** Connections are cut before an answer. */
  down: boolean;
  /** Each answer waits for so long. */
  slowMs: number;
  /** Each answer is this status, as a proxy gives it, without JSON. */
  proxyStatus: number | undefined;
  /** These peers, by number, cannot reach their IPFS node: what they have to pin is an error. */
  deadPeers: Set<number>;
  /** A list breaks off after so many lines, in the middle of the next. */
  cutAfterLines: number | undefined;
  /** A list ends after so many lines with X-Stream-Error, as where one peer could not be asked. */
  endAfterLines: number | undefined;
  /** The pinset is lost: of what was pinned it says `unpinned`. */
  forgetful: boolean;
  /** CIDs are told as CIDv0 where they can be. */
  asV0: boolean;
  /** Lists are 204 without a body. */
  empty: boolean;
  /** A list with this CID is 400. */
  refuses: string | undefined;
  /** Of a CID that it never saw it says `pinned`: a cluster of millions of pins without their memory. */
  generous: boolean;
  /** Fewer peers than the replication factor: /add and /pins are 500. */
  tooFewPeers: boolean;
}

export const noFaults = (): ClusterFaults => ({
  down: false,
  slowMs: 0,
  proxyStatus: undefined,
  deadPeers: new Set(),
  cutAfterLines: undefined,
  endAfterLines: undefined,
  forgetful: false,
  asV0: false,
  empty: false,
  refuses: undefined,
  generous: false,
  tooFewPeers: false,
});

interface Pin {
  cid: CID;
  name: string;
  created: Date;
  /** By peer, since when it tries. */
  triedAt: number[];
}

export interface ClusterOptions {
  peers: number;
  /** From a pin to `pinned`; before half of it is over a peer says `pin_queued`. */
  pinMs: number;
  now: () => number;
}

const peerId = (peer: number) => `12D3KooWStandInPeer${String(peer).padStart(4, '0')}`;

/** The pinset, and what peers know of the blocks. */
export class ClusterPins {
  readonly faults = noFaults();
  readonly #options: ClusterOptions;
  readonly #pins = new Map<string, Pin>();
  readonly #blocks = new Set<string>();

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pins.size;
  }

  addBlock(cid: CID): void {
    this.#blocks.add(blockKey(cid));
  }

  /** As after a garbage collection gone wrong: pins stay, blocks are gone. */
  loseBlocks(): void {
    this.#blocks.clear();
  }

  /** Pinning again replaces name and date, as the real one does. */
  pin(cid: CID, name: string): object {
    const at = this.#options.now();
    const triedAt = Array.from({ length: this.#options.peers }, () => at);
    this.#pins.set(cid.toString(), { cid, name, created: new Date(at), triedAt });
    return { ...pinObject(cid, name), allocations: this.#peers(), timestamp: nanoTime(at) };
  }

  unpin(cid: CID): object | undefined {
    const pin = this.#pins.get(cid.toString());
    this.#pins.delete(cid.toString());
    return pin && { ...pinObject(cid, pin.name), allocations: this.#peers(), timestamp: secondTime(pin.created) };
  }

  /** Peers in error try again from now on; of an unknown one nothing is recovered, and nothing said. */
  recover(cid: CID): object {
    const pin = this.#pins.get(cid.toString());
    pin?.triedAt.forEach((_, peer) => {
      if (this.#statusOf(pin, peer) === 'pin_error') pin.triedAt[peer] = this.#options.now();
    });
    return this.status(cid);
  }

  /** There is no 404: one never pinned is `unpinned` on every peer. */
  status(cid: CID): object {
    const pin = this.faults.forgetful ? undefined : this.#pins.get(cid.toString());
    const at = this.#options.now();
    const told = this.faults.asV0 && cid.code === 0x70 ? cid.toV0() : cid;
    const peers = this.#peers().map((id, peer) => [
      id,
      {
        peername: `peer${peer + 1}`,
        ipfs_peer_id: `12D3KooWStandInNode${String(peer).padStart(4, '0')}`,
        ...this.#peerInfo(pin, peer),
        attempt_count: pin === undefined ? 0 : 1,
        priority_pin: pin !== undefined,
      },
    ]);
    return {
      cid: told.toString(),
      name: pin?.name ?? '',
      allocations: pin === undefined ? [] : this.#peers(),
      origins: pin === undefined ? null : [],
      created: pin === undefined ? nanoTime(at) : secondTime(pin.created),
      metadata: null,
      peer_map: Object.fromEntries(peers),
    };
  }

  all(): CID[] {
    return [...this.#pins.values()].map(({ cid }) => cid);
  }

  #peers(): string[] {
    return Array.from({ length: this.#options.peers }, (_, peer) => peerId(peer));
  }

  #peerInfo(pin: Pin | undefined, peer: number) {
    const unknown = this.faults.generous ? 'pinned' : 'unpinned';
    const status = pin === undefined ? unknown : this.#statusOf(pin, peer);
    const error =
      status === 'pin_error' ? 'IPFS error (pin/add). Code: 500. Message: pin: block was not found locally' : '';
    return { status, timestamp: nanoTime(pin?.triedAt[peer] ?? this.#options.now()), error };
  }

  #statusOf({ cid, triedAt }: Pin, peer: number): PeerStatus {
    const { pinMs, now } = this.#options;
    if (this.faults.deadPeers.has(peer)) return 'pin_error';
    const triedMs = now() - (triedAt[peer] ?? 0);
    if (triedMs < pinMs / 2) return 'pin_queued';
    if (triedMs < pinMs) return 'pinning';
    return this.#blocks.has(blockKey(cid)) ? 'pinned' : 'pin_error';
  }
}

/** CIDs of both versions name one block. */
function blockKey({ multihash }: CID): string {
  return Buffer.from(multihash.bytes).toString('base64');
}

function pinObject(cid: CID, name: string) {
  return {
    replication_factor_min: -1,
    replication_factor_max: -1,
    name,
    mode: 'recursive',
    shard_size: 0,
    user_allocations: null,
    expire_at: '0001-01-01T00:00:00Z',
    metadata: {},
    pin_update: null,
    origins: null,
    cid: cid.toString(),
    type: 'pin',
    max_depth: -1,
    reference: null,
  };
}

const secondTime = (at: Date) => `${at.toISOString().slice(0, 19)}Z`;
const nanoTime = (ms: number) => new Date(ms).toISOString().replace('Z', '123456Z');
