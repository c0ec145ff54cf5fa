import { benchBatchTree } from './batch-tree.ts';
import { benchCheck } from './check.ts';
import { benchChoose } from './choose.ts';
import { benchCommp } from './commp.ts';
import { benchEvents } from './events.ts';
import { benchHistory } from './history.ts';
import { benchHugeDag } from './huge-dag.ts';
import { benchOps } from './ops.ts';
import { benchPiece } from './piece.ts';
import { benchPins } from './pins.ts';
import { benchProposals } from './proposals.ts';
import { benchReceive } from './receive.ts';
import { benchSeal } from './seal.ts';
import { benchStow } from './stow.ts';
import { benchSmallUploads } from './small-uploads.ts';
import { benchUpload } from './upload.ts';
import { benchWatch } from './watch.ts';

type Bench = (...options: string[]) => Record<string, unknown> | Promise<Record<string, unknown>>;

const benches = new Map<string, Bench>([
  ['batch-tree', benchBatchTree],
  ['check', benchCheck],
  ['choose', benchChoose],
  ['commp', benchCommp],
  ['events', benchEvents],
  ['history', benchHistory],
  ['huge-dag', benchHugeDag],
  ['ops', benchOps],
  ['piece', benchPiece],
  ['pins', benchPins],
  ['proposals', benchProposals],
  ['receive', benchReceive],
  ['seal', benchSeal],
  ['stow', benchStow],
  ['small-uploads', benchSmallUploads],
  ['upload', benchUpload],
  ['watch', benchWatch],
]);

const [name = '', ...options] = process.argv.slice(2);
const bench = benches.get(name);
if (bench === undefined) {
  console.error(`usage: npm run bench -- ${[...benches.keys()].join('|')}`);
  process.exitCode = 2;
} else {
  console.log(JSON.stringify(await bench(...options)));
}
