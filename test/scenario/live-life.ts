import { expect } from 'vitest';

import { LedgerOracle } from './ledger-oracle.ts';
import { FINALITY, LongLife, NODES, type PlannedDeal } from './long-life-world.ts';

const DAY = 2_880;
/** Days between the signing of two deals, early on; each ends within half a year to eight months. */
const SIGN_EVERY_DAYS = 4;
/** The fixture tells pieces by one byte. */
const MAX_DEALS = 120;
/** What all nodes may have at once: then we are to say that we are degraded, or be right. */
const plagues: readonly object[] = [
  { http500: 1 },
  { html: 0.3 },
  { truncated: 0.3 },
  { http429: 1 },
  { behind: 20 },
  { nullResult: 0.3 },
  { wrongId: 0.5 },
  { maxEvents: 1 },
  { ahead: 50_000 },
];

interface Act {
  epoch: number;
  name: string;
  run(): void;
}

/** What is to happen, in the order of epochs. */
class Agenda {
  readonly #acts: Act[] = [];

  add(epoch: number, name: string, run: () => void): void {
    this.#acts.push({ epoch, name, run });
    this.#acts.sort((a, b) => a.epoch - b.epoch);
  }

  get next(): number {
    return this.#acts[0]?.epoch ?? Number.POSITIVE_INFINITY;
  }

  take(): Act | undefined {
    return this.#acts.shift();
  }
}

function isOf(life: LongLife, deal: PlannedDeal): bigint | undefined {
  const { deals } = life.chain.ledger.view().state;
  for (const [id, { proposal }] of deals.entries()) {
    const isSame = proposal.startEpoch === deal.startEpoch && proposal.endEpoch === deal.endEpoch;
    if (isSame && proposal.pieceCid.toString() === pieceOf(deal)) return id;
  }
  return undefined;
}

function pieceOf(deal: PlannedDeal): string {
  return (deal.onChain['PieceCID'] as { '/': string })['/'];
}

/** Alone, in a batch with a stranger's, beside one that is dropped, or by a message that a dearer one replaces. */
function publish(life: LongLife, deal: PlannedDeal, label: string): void {
  const { ledger } = life.chain;
  const kind = life.drawWhole(`publish ${label}`, 4);
  const beside = [life.stranger(deal, label, kind === 2)];
  const batch = kind === 0 || kind === 3 ? [deal.signedProposal] : [...beside, deal.signedProposal];
  const attempt = ledger.publish(deal.provider, batch);
  if (attempt.kind === 'refused') return;
  ledger.land(kind === 3 ? ledger.replace(attempt.message) : attempt.message);
}

function prove(life: LongLife, deal: PlannedDeal): void {
  const id = isOf(life, deal);
  const attempt = id === undefined ? undefined : life.chain.ledger.proveSector(deal.provider, [id]);
  if (attempt?.kind === 'pushed') life.chain.ledger.land(attempt.message);
}

function terminate(life: LongLife, deal: PlannedDeal): void {
  const id = isOf(life, deal);
  const { ledger } = life.chain;
  if (id !== undefined && (ledger.deal(id)?.sectorStartEpoch ?? -1) >= 0) ledger.land(ledger.terminateSectorOf(id));
}

function settle(life: LongLife, deal: PlannedDeal): void {
  const id = isOf(life, deal);
  if (id !== undefined) life.chain.ledger.land(life.chain.ledger.settle(id));
}

/**
 * How a deal fares goes by its number, so that each life has all of it; when, is drawn. Each act does nothing where the
 * chain is not as it takes it to be.
 */
function planLife(life: LongLife, agenda: Agenda, deal: PlannedDeal, piece: number): void {
  const name = String(piece);
  const isUnproven = piece % 8 === 5;
  const draw = (what: string, below: number): number => life.drawWhole(`${what} ${name}`, below);
  if (piece % 10 === 3) return;
  const published = life.height + 1 + draw('publish', 2 * DAY);
  agenda.add(published, `publish ${name}`, () => publish(life, deal, name));
  // A provider whose message was dropped for good sends it again.
  for (const wait of [70, DAY]) {
    agenda.add(published + wait, `ensure ${name}`, () => {
      if (isOf(life, deal) === undefined) publish(life, deal, `${name} again ${wait}`);
    });
  }
  const settled = (isUnproven ? deal.startEpoch : deal.endEpoch) + 1 + draw('settle', 20 * DAY);
  if (draw('settles', 3) > 0) agenda.add(settled, `settle ${name}`, () => settle(life, deal));
  if (isUnproven) return;
  const proven = published + DAY + 10 + draw('prove', Math.max(1, deal.startEpoch - published - DAY - 20));
  agenda.add(proven, `prove ${name}`, () => prove(life, deal));
  agenda.add(proven + 80, `prove again ${name}`, () => prove(life, deal));
  // Rather early than late, so that a short life has its terminations too.
  const end = proven + 1 + Math.floor(life.draw(`terminate ${name}`) ** 2 * (deal.endEpoch - proven - 2));
  if (piece % 5 === 1) agenda.add(end, `terminate ${name}`, () => terminate(life, deal));
}

async function cursorsOf({ watched }: LongLife) {
  const rows = await watched.kysely.selectFrom('chain_cursors').selectAll().execute();
  return new Map(rows.map((row) => [row.name, row]));
}

/** Where our rows do not say what the ledger says as of the tipset that we name; empty when we say that we are degraded. */
async function disagreements(life: LongLife): Promise<string[]> {
  const { status } = life.watched.deps.view;
  if (status.degraded !== undefined || status.epoch === undefined) return [];
  const cursors = await cursorsOf(life);
  const { epoch } = status;
  const view = life.chain.ledger.view();
  const named = cursors.get('watch.reads')?.tipset.join();
  if (named !== view.atOrBelow(epoch).key.join()) {
    // Where all nodes are behind a reorg, nobody can know of it yet: then we are not to call older sights new.
    const isToldAsNow = status.asOf === undefined || status.asOf >= life.watched.clock.now();
    return isToldAsNow ? [`the tipset of ${epoch} is gone`] : [];
  }
  const oracle = new LedgerOracle(view, { epoch, finalized: Number(cursors.get('watch.finalized')?.height ?? 0) });
  const rows = await life.watched.kysely.selectFrom('deals').select(['id', 'state', 'chain_deal_id']).execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  return life.deals.flatMap((deal) => {
    const row = byId.get(deal.id);
    const { states, chainDealId } = oracle.expect({ ...deal, pieceCid: pieceOf(deal) });
    const isRight = row !== undefined && states.includes(row.state);
    const isSameId = chainDealId === undefined || row?.chain_deal_id === chainDealId;
    if (isRight && isSameId) return [];
    const ours = `${row?.state} as ${row?.chain_deal_id}`;
    return [
      `piece of ${deal.startEpoch}: ours ${ours}, the ledger's ${states.join(' or ')} as ${chainDealId}, at ${epoch}`,
    ];
  });
}

async function look(life: LongLife, faults: readonly (object | null)[], told: string): Promise<boolean> {
  await life.setFaults(faults);
  // A clock on the wall goes on between two looks.
  life.watched.clock.advance(30_000);
  await life.watched.watch();
  expect(await disagreements(life), `${told}, under ${JSON.stringify(faults)}`).toEqual([]);
  return life.watched.deps.view.status.degraded !== undefined;
}

function drawFaults(life: LongLife, label: string, sick: readonly object[]): (object | null)[] {
  const kind = life.draw(`sickness ${label}`);
  if (kind < 0.2) return [];
  // Each of these is on a fork of its own, so that no two of the three nodes agree.
  if (kind < 0.25) return [{ fork: 20 }, { fork: 20 }, null];
  if (kind < 0.4) {
    const plague = plagues[life.drawWhole(`plague ${label}`, plagues.length)] ?? null;
    return Array.from({ length: NODES }, () => plague);
  }
  const node = life.drawWhole(`node ${label}`, NODES);
  const fault = sick[life.drawWhole(`sick ${label}`, sick.length)] ?? null;
  return Array.from({ length: NODES }, (_, at) => (at === node ? fault : null));
}

/** Reorgs, mostly soon after something happened, and null rounds that come and go. */
function disturb(life: LongLife, agenda: Agenda, day: number): void {
  const { ledger } = life.chain;
  if (life.draw(`null ${day}`) < 0.1) ledger.setNullRounds(life.draw(`nulls ${day}`) < 0.5 ? 0.3 : 0);
  if (life.draw(`reorg ${day}`) > 0.3) return;
  const soon = Number.isFinite(agenda.next) && agenda.next < life.height + DAY ? agenda.next : life.height;
  const depth = 1 + life.drawWhole(`depth ${day}`, FINALITY - 8);
  const reland = life.draw(`reland ${day}`) < 0.6;
  const reuseIds = life.draw(`reuse ${day}`) < 0.3;
  agenda.add(soon + life.drawWhole(`wait ${day}`, 25), `reorg of ${depth}`, () => {
    // Where many rounds are null, so many tipsets would reach below what is final.
    const { store, finalized } = ledger.view();
    const isFree = (tipsets: number): boolean => (store.below(tipsets)?.height ?? 0) >= finalized.height;
    let tipsets = depth;
    while (!isFree(tipsets)) tipsets -= 1;
    ledger.reorg({ depth: tipsets, reland, reuseIds });
  });
}

interface Life {
  days: number;
  seed: string;
  /** Faults of one node of the three. */
  sick: readonly object[];
}

/**
 * A life of so many simulated days: what we say of every deal is what the ledger says, or we say that we cannot know.
 * Answers the world, the states that were reached, and how often under faults we were degraded, or right.
 */
export async function liveLife({ days, seed, sick }: Life) {
  const life = await LongLife.open(seed);
  const agenda = new Agenda();
  await look(life, [], 'at first');
  let [degraded, right, acts] = [0, 0, 0];
  for (let day = 0; day < days; day += 1) {
    const until = life.height + DAY;
    if (day % SIGN_EVERY_DAYS === 0 && life.deals.length < MAX_DEALS && day < days - 20) {
      const piece = life.deals.length + 1;
      planLife(life, agenda, await life.sign(piece), piece);
    }
    disturb(life, agenda, day);
    while (agenda.next < until) {
      const act = agenda.take();
      if (act === undefined) break;
      life.advance(act.epoch - life.height);
      act.run();
      acts += 1;
      // Reads are taken some epochs behind the head: now before and now behind what happened.
      life.advance(1 + life.drawWhole(`after ${acts}`, 12));
      const told = `day ${day}: ${act.name}`;
      const faults = drawFaults(life, `${acts}`, sick);
      const isUnsure = await look(life, faults, told);
      degraded += Number(isUnsure);
      right += Number(!isUnsure && faults.length > 0);
      life.advance(1);
      const isDegraded = await look(life, [], `${told}, then well`);
      const { status } = life.watched.deps.view;
      expect(isDegraded ? status.degraded?.reason : undefined, told).toBeUndefined();
      expect(status.asOf, `${told}, then well`).toEqual(life.watched.clock.now());
    }
    life.advance(until - life.height);
    await look(life, day % 7 === 0 ? drawFaults(life, `day ${day}`, sick) : [], `day ${day}`);
  }
  const reached = await life.watched.kysely.selectFrom('events').select('to_state').distinct().execute();
  const states = reached.map(({ to_state: state }) => state);
  return { life, states, degraded, right };
}
