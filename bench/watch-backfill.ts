// A week in which nobody looked, in a process of its own: so it is after a restart, and its memory is all its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { connect } from '../src/db/connect.ts';
import { heightIn, syntheticChain, type SyntheticPast } from './watch-chain.ts';
import { ACTIVATIONS, countIn, expectCount, settle, timed, watchOver, type Figures } from './watch-figures.ts';

export const BACKFILL_EPOCHS = 7 * 2_880;
export const BACKFILL_EVENTS = 20_000;
const MIB = 1024 * 1024;
const SELF = fileURLToPath(import.meta.url);

interface Begin {
  url: string;
  deals: number;
  past: SyntheticPast;
  /** Since which epoch the last so many deals are in a sector, 0: in none; the others are since the first. */
  lastProvedAt: Int32Array;
}

export interface BackFill extends Figures {
  /** What the process held before the watch began: Node.js and the code. The synthetic chain holds next to nothing. */
  startMib: number;
}

/** Runs the back-fill in a child; a child that fails has said why on stderr. */
export async function backFill(begin: Begin): Promise<BackFill> {
  const child = fork(SELF, ['child'], { serialization: 'advanced' });
  child.send(begin);
  const answer = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => undefined)]);
  if (answer === undefined) throw new Error('the back-fill failed');
  child.disconnect();
  return answer[0] as BackFill;
}

async function runBackFill({ url, deals, past, lastProvedAt }: Begin): Promise<BackFill> {
  await using database = connect(url);
  const { kysely: db } = database;
  const synthetic = syntheticChain(deals, ACTIVATIONS, past);
  synthetic.lastProvedAt.set(lastProvedAt);
  const { deps, grow } = watchOver(db, synthetic);
  const week = { from: synthetic.height(), epochs: BACKFILL_EPOCHS - 20, events: BACKFILL_EVENTS };
  synthetic.tellEvenly(week);
  for (let at = 0; at < ACTIVATIONS; at += 1) synthetic.lastProvedAt[at] ||= heightIn(week, at);
  grow(BACKFILL_EPOCHS);
  const startMib = Math.round(process.memoryUsage.rss() / MIB);
  const figures = await timed(synthetic, () => settle(deps));
  expectCount('active deals after the back-fill', await countIn(db, 'active'), deals);
  return { ...figures, startMib };
}

if (process.argv[2] === 'child') {
  const [begin] = (await once(process, 'message')) as [Begin];
  process.send?.(await runBackFill(begin));
}
