import { base64CborInt, base64CborText } from '../../src/filecoin/cbor.ts';
import { encodePublishParams, encodePublishReturn } from '../../src/filecoin/publish.ts';
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
  /** The ClientDealProposal, for messages. */
  signed?: Uint8Array;
  exitCode?: number;
  /** The receipt names another of the message as valid. */
  dropped?: boolean;
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
  /** Events are there, and cannot be read now. */
  eventsFail = false;
  /** Sends publish messages by way of another actor, so that only events tell of them. */
  wrapsPublishes = false;
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
    let parent = at - 1;
    while (this.#empty.has(parent)) parent -= 1;
    return {
      Cids: this.key(at).map((cid) => ({ '/': cid })),
      Blocks: [{ Timestamp: GENESIS_SECONDS + 30 * at, Parents: this.key(parent).map((cid) => ({ '/': cid })) }],
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

  /** Messages of the tipset before this block's, with their receipts: our publishes, and a stranger's. */
  #executed(block: string) {
    const height = this.#heightOf([{ '/': block }]);
    const parent = this.tipset(height - 1).Height;
    const published = this.deals.filter(({ publishedAt, signed }) => publishedAt === parent && signed !== undefined);
    return [...published, undefined].map((deal) => ({
      message: {
        Cid: { '/': deal?.message ?? `bafystranger${parent}` },
        Message: {
          To: deal === undefined || this.wrapsPublishes ? 'f0999' : 'f05',
          Method: 4,
          Params: Buffer.from(encodePublishParams(deal?.signed === undefined ? [] : [deal.signed])).toString('base64'),
        },
      },
      receipt: {
        ExitCode: 0,
        Return: Buffer.from(
          encodePublishReturn({
            ids: deal === undefined ? [] : [BigInt(deal.id)],
            valid: deal === undefined ? [] : [0],
          }),
        ).toString('base64'),
      },
    }));
  }

  #lookup(cid: string) {
    const deal = this.deals.find(({ message }) => message === cid);
    if (deal === undefined || deal.publishedAt >= this.head) return null;
    const Return = encodePublishReturn(
      deal.dropped ? { ids: [9n], valid: [1] } : { ids: [BigInt(deal.id)], valid: [0] },
    );
    return {
      Message: { '/': cid },
      Receipt: { ExitCode: deal.exitCode ?? 0, Return: Buffer.from(Return).toString('base64') },
      TipSet: this.tipset(deal.publishedAt + 1).Cids,
      Height: deal.publishedAt + 1,
    };
  }

  #body(cid: string) {
    const deal = this.deals.find(({ message }) => message === cid);
    const signed = deal?.signed === undefined ? [] : [deal.signed, ...(deal.dropped ? [deal.signed] : [])];
    return {
      To: this.wrapsPublishes ? 'f0999' : 'f05',
      From: 'f0100',
      Value: '0',
      Method: 4,
      Params: Buffer.from(encodePublishParams(signed)).toString('base64'),
    };
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
      case 'Filecoin.ChainGetParentMessages':
        return this.#executed((params[0] as { '/': string })['/']).map(({ message }) => message);
      case 'Filecoin.ChainGetParentReceipts':
        return this.#executed((params[0] as { '/': string })['/']).map(({ receipt }) => receipt);
      case 'Filecoin.StateSearchMsg':
        return this.#lookup((params[1] as { '/': string })['/']);
      case 'Filecoin.ChainGetMessage':
        return this.#body((params[0] as { '/': string })['/']);
      case 'Filecoin.GetActorEventsRaw':
        if (this.eventsFail) throw new Error('event index is busy');
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
