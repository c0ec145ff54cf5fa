import { benchCommp } from './commp.ts';
import { benchSeal } from './seal.ts';

type Bench = (...options: string[]) => Record<string, unknown> | Promise<Record<string, unknown>>;

const benches = new Map<string, Bench>([
  ['commp', benchCommp],
  ['seal', benchSeal],
]);

const [name = '', ...options] = process.argv.slice(2);
const bench = benches.get(name);
if (bench === undefined) {
  console.error(`usage: npm run bench -- ${[...benches.keys()].join('|')}`);
  process.exitCode = 2;
} else {
  console.log(JSON.stringify(await bench(...options)));
}
