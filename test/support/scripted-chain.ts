import { base64CborInt, base64CborText } from '../../src/filecoin/cbor.ts';
import { sendError, sendResult, serveRpc, type Respond, type RpcRequest } from './rpc-server.ts';

/** A deal as the market actor has it; heights are those of the tipsets with the messages. */
export interface ScriptedDeal {
  id: number;
  proposal: Record<string, unknown>;
  publishedAt: number;
  message: string;
  provedAt?: number;
  sectorNumber: number;
  terminatedAt?: number;
  /** Removed without an event: timed out, or settled. */
  goneAt?: number;
}

const GENESIS_SECONDS = 1_785_406_175;

type Fault = (request: RpcRequest, response: Parameters<Respond>[1]) => boolean;

/**
 * A chain that does what a test says, behind real HTTP: state as of a tipset holds what lies below it, a reorg gives
 * other keys to the tipsets above its root and takes their messages away.
 */
export class ScriptedChain {
  head = 100;
  finalized = 80;
  clientId = 'f0103';
  deals: ScriptedDeal[] = [];
  hasFinality = true;
  hasEvents = true;
  /** Takes a request when it answers true. */
  fault: Fault = () => false;
  readonly #forks = new Map<number, number>();
  readonly #empty = new Set<number>();
  #fork = 0;
  #nextId = 1;

  leaveEmpty(...heights: number[]): void {
    for (const height of heights) this.#empty.add(height);
  }

  key(height: number): string[] {
    return [`bafyt${this.#forks.get(height) ?? 0}x${height}`];
  }

  /** Publishes in the tipset of the head; the next one's state shows it. */
  publish(proposal: Record<string, unknown>, id = this.#nextId): ScriptedDeal {
    this.#nextId = Math.max(this.#nextId, id) + 1;
    const deal = { id, proposal, publishedAt: this.head, message: `bafypublish${id}at${this.head}`, sectorNumber: 0 };
    this.deals.push(deal);
    return deal;
  }

  /** The tipsets above `root` are replaced, and what was in them is undone. */
  reorg(root: number): void {
    this.#fork += 1;
    for (let height = root + 1; height <= this.head + 10_000; height += 1) this.#forks.set(height, this.#fork);
    this.deals = this.deals
      .filter(({ publishedAt }) => publishedAt <= root)
      .map(({ provedAt, terminatedAt, goneAt, ...deal }) => ({
        ...deal,
        ...(provedAt !== undefined && provedAt <= root && { provedAt }),
        ...(terminatedAt !== undefined && terminatedAt <= root && { terminatedAt }),
        ...(goneAt !== undefined && goneAt <= root && { goneAt }),
      }));
  }

  tipset(height: number) {
    let at = height;
    while (this.#empty.has(at)) at -= 1;
    return {
      Cids: this.key(at).map((cid) => ({ '/': cid })),
      Blocks: [{ Timestamp: GENESIS_SECONDS + 30 * at }],
      Height: at,
    };
  }

  #heightOf(key: { '/': string }[] | null): number {
    const cid = key?.[0]?.['/'];
    if (cid === undefined) return this.head;
    const height = Number(cid.split('x')[1]);
    if (this.key(height)[0] !== cid) throw new Error('tipset is not in the chain');
    return height;
  }

  #deal(id: number, asOf: number) {
    const deal = this.deals.find((known) => known.id === id);
    const gone = Math.min(deal?.terminatedAt ?? Infinity, deal?.goneAt ?? Infinity) < asOf;
    if (deal === undefined || deal.publishedAt >= asOf || gone) {
      throw new Error(
        `deal ${id} not found - deal may not have completed sealing before deal proposal start epoch, or deal may have been slashed`,
      );
    }
    const proved = deal.provedAt !== undefined && deal.provedAt < asOf;
    return {
      Proposal: { ...deal.proposal, Client: this.clientId },
      State: {
        SectorNumber: proved ? deal.sectorNumber : 0,
        SectorStartEpoch: proved ? deal.provedAt : -1,
        LastUpdatedEpoch: -1,
        SlashEpoch: -1,
      },
    };
  }

  #events({ fromHeight, toHeight }: { fromHeight: number; toHeight: number }) {
    const told = this.deals.flatMap((deal) => [
      { type: 'deal-published', height: deal.publishedAt, message: deal.message, deal },
      { type: 'deal-activated', height: deal.provedAt, message: `bafyprove${deal.id}`, deal },
      { type: 'deal-terminated', height: deal.terminatedAt, message: `bafyterminate${deal.id}`, deal },
    ]);
    const inRange = told.filter(({ height }) => height !== undefined && height >= fromHeight && height <= toHeight);
    if (inRange.length === 0) return null;
    return inRange.map(({ type, height, message, deal }) => ({
      entries: Object.entries({
        $type: base64CborText(type),
        id: base64CborInt(deal.id),
        client: base64CborInt(BigInt(this.clientId.slice(2))),
        provider: base64CborInt(BigInt(String(deal.proposal['Provider']).slice(2))),
      }).map(([Key, Value]) => ({ Flags: 3, Key, Codec: 81, Value })),
      emitter: 'f05',
      reverted: false,
      height,
      tipsetKey: this.tipset(height ?? 0).Cids,
      msgCid: { '/': message },
    }));
  }

  #answer({ method, params }: RpcRequest): unknown {
    switch (method) {
      case 'Filecoin.ChainHead':
        return this.tipset(this.head);
      case 'Filecoin.ChainGetFinalizedTipSet':
        return this.tipset(this.finalized);
      case 'Filecoin.ChainGetTipSetByHeight':
        if (Number(params[0]) > this.head) throw new Error('looking for tipset with height greater than start point');
        return this.tipset(Number(params[0]));
      case 'Filecoin.StateLookupID':
        return this.clientId;
      case 'Filecoin.StateMarketStorageDeal':
        return this.#deal(Number(params[0]), this.#heightOf(params[1] as { '/': string }[] | null));
      case 'Filecoin.GetActorEventsRaw':
        if (!this.hasEvents) throw new Error('module disabled, enable with Events.EnableActorEventsAPI');
        return this.#events(params[0] as { fromHeight: number; toHeight: number });
      default:
        throw new Error(`method '${method}' not scripted`);
    }
  }

  readonly respond: Respond = (request, response) => {
    if (this.fault(request, response)) return;
    try {
      sendResult(response, this.#answer(request));
    } catch (error) {
      sendError(response, 1, error instanceof Error ? error.message : String(error));
    }
  };

  serve() {
    return serveRpc(this.respond);
  }
}
