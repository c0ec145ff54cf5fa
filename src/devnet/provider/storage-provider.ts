import { setMaxListeners } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { parseAddress } from '../../filecoin/address.ts';
import { ASK_PROTOCOL } from '../../filecoin/mk12-ask.ts';
import { MK_PROTOCOLS } from '../../filecoin/mk12-propose.ts';
import { STATUS_PROTOCOL } from '../../filecoin/mk12-status.ts';
import { pieceCapacity } from '../../filecoin/piece.ts';
import type { FrontAnswerer, FrontRoute } from './curio-front.ts';
import type { HashPool } from './hash-pool.ts';
import type { PieceFinder, ServedPiece } from './piece-door.ts';
import { answerAs, answerAsk, answerProposal, answerStatus, transportsStatement } from './provider-answers.ts';
import type { ProviderContext } from './provider-context.ts';
import { DealBook, type DealEntry, type ProviderDeal } from './provider-deals.ts';
import { openDoors, type Doors } from './provider-doors.ts';
import { serve, serveStatement } from './provider-host.ts';
import { openJournal } from './provider-journal.ts';
import type { LedgerPort } from '../ledger/ledger-port.ts';
import type { Persona } from './provider-persona.ts';
import { ProviderPipeline } from './provider-pipeline.ts';
import { piecePath } from './receive-piece.ts';
import { drawBytes, drawFraction } from '../seeded-draw.ts';

const TRANSPORTS_PROTOCOL = '/fil/retrieval/transports/1.0.0';

export interface StorageProviderOptions {
  /** `f01000`. */
  id: string;
  persona: Persona;
  ledger: LedgerPort;
  hashes: HashPool;
  /** The provider's own folder: key, journal, pieces. */
  folder: string;
  /** Decides the peer key of a new folder, and the jitter of retries. */
  seed: string;
  now: () => Date;
  onProposal: ProviderContext['onProposal'];
  log: ProviderContext['log'];
}

/** One storage provider: a libp2p host that answers as Boost, and the pipeline behind it. */
export class StorageProvider {
  readonly id: string;
  readonly peerId: string;
  /** Without the peer id, as they stand on the chain. */
  readonly multiaddrs: readonly string[];
  readonly #context: ProviderContext;
  readonly #doors: Doors;
  readonly #sinceEpoch: number;
  readonly #pipeline: ProviderPipeline;
  readonly #stop: AbortController;
  readonly #usual: Persona;
  #persona: Persona;

  static async start(options: StorageProviderOptions): Promise<StorageProvider> {
    mkdirSync(join(options.folder, 'pieces'), { recursive: true });
    const before = options.ledger.miner(options.id)?.multiaddrs[0];
    let provider: StorageProvider | undefined;
    const answer: FrontAnswerer = (route, request) =>
      provider === undefined ? Promise.resolve(undefined) : provider.#answerFront(route, request);
    const findPiece: PieceFinder = (pieceCid) => (provider === undefined ? undefined : provider.#findPiece(pieceCid));
    const { software } = options.persona;
    const doors = await openDoors(await peerKey(options), { software, before, answer, findPiece });
    provider = new StorageProvider(options, doors);
    const { ledger } = options;
    ledger.registerMiner({ id: options.id, peerId: provider.peerId, multiaddrs: provider.multiaddrs });
    provider.#pipeline.start();
    await provider.#serve();
    return provider;
  }

  private constructor(options: StorageProviderOptions, doors: Doors) {
    this.id = options.id;
    this.#doors = doors;
    this.peerId = doors.host.peerId.toString();
    this.multiaddrs = doors.multiaddrs;
    this.#sinceEpoch = options.ledger.head().height;
    this.#usual = options.persona;
    this.#persona = options.persona;
    this.#stop = new AbortController();
    // Every transfer and every held-back answer listens, and there may be many.
    setMaxListeners(0, this.#stop.signal);
    this.#context = {
      id: options.id,
      address: parseAddress(options.id),
      piecesFolder: join(options.folder, 'pieces'),
      persona: () => this.#persona,
      ledger: options.ledger,
      book: new DealBook(openJournal<DealEntry>(join(options.folder, 'deals.jsonl'))),
      hashes: options.hashes,
      random: seededRandom(`${options.seed}/${options.id}`),
      now: options.now,
      onProposal: options.onProposal,
      log: options.log,
      signal: this.#stop.signal,
    };
    this.#pipeline = new ProviderPipeline(this.#context);
  }

  deals(): readonly ProviderDeal[] {
    return this.#context.book.list();
  }

  /** Changes some knobs from now on; null goes back to what the provider started with. */
  setPersona(patch: Partial<Persona> | null): void {
    this.#persona = patch === null ? this.#usual : { ...this.#persona, ...patch };
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error(`provider ${this.id} closes`));
    await this.#doors.close();
    await this.#pipeline.close();
  }

  async #serve(): Promise<void> {
    const { host } = this.#doors;
    await serve(host, MK_PROTOCOLS, (request) => this.#answer('store', request));
    await serve(host, [STATUS_PROTOCOL], (request) => this.#answer('status', request));
    await serve(host, [ASK_PROTOCOL], (request) => this.#answer('ask', request));
    await serveStatement(host, TRANSPORTS_PROTOCOL, () => transportsStatement(this.multiaddrs, this.#doors.retrieval));
  }

  #answer(route: FrontRoute, request: Uint8Array): Promise<Uint8Array | undefined> {
    const context = this.#context;
    const decide = {
      store: () => answerProposal(context, request, (deal) => this.#pipeline.take(deal)),
      status: () => answerStatus(context, request),
      ask: () => answerAsk(context, request, this.#sinceEpoch),
    };
    return answerAs(context, decide[route]);
  }

  /** Of a sealed deal: Boost serves all of the piece, zeros included, and Curio what the deal's client said is in it. */
  #findPiece(pieceCid: string): ServedPiece | undefined {
    const { software, noPieces, wrongPieces, shortPieces } = this.#persona;
    const deal = this.#context.book
      .list()
      .find(({ isProven, error, proposal }) => isProven && error === '' && proposal.pieceCid.toString() === pieceCid);
    if (deal === undefined || noPieces) return undefined;
    const carBytes = deal.params.transfer.sizeBytes;
    const wholeBytes = software === 'boost' ? Number(pieceCapacity(deal.proposal.pieceBytes)) : carBytes;
    const totalBytes = shortPieces ? Math.floor(carBytes / 2) : wholeBytes;
    return { path: piecePath(this.#context, deal.uuid), carBytes, totalBytes, isWrong: wrongPieces };
  }

  /** Over HTTP a lost answer is a connection that ends; no answer at all is a request that nobody could decode. */
  async #answerFront(route: FrontRoute, request: Uint8Array): Promise<Uint8Array | undefined> {
    const answer = await this.#answer(route, request);
    if (answer === undefined && this.#persona.loseAnswers) throw new Error('this provider lost its answer');
    return answer;
  }
}

/** The peer key of the folder; a new one comes from the seed, so that a devnet without a folder is repeatable too. */
async function peerKey({ folder, seed, id }: StorageProviderOptions): Promise<PrivateKey> {
  const path = join(folder, 'peer.key');
  if (existsSync(path)) return privateKeyFromProtobuf(readFileSync(path));
  const key = await generateKeyPairFromSeed('Ed25519', drawBytes(seed, `${id}/peer`, 32));
  writeFileSync(path, privateKeyToProtobuf(key), { mode: 0o600 });
  return key;
}

/** Numbers in [0, 1), for the jitter of retries. */
function seededRandom(seed: string): () => number {
  let drawn = 0;
  return () => drawFraction(seed, `jitter/${drawn++}`);
}
