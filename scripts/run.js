// `npm start`, `npm run demo`, `npm test`, `npm run test:document`, `npm run check`, `npm run bench`: installs what is missing, then runs it on Node 24.
import { delimiter, join } from 'node:path';
import { ensureInstalled } from './ensure-installed.js';
import { memoryFlags, node24, root, standIn } from './node24.js';

const [what, ...rest] = process.argv.slice(2);
ensureInstalled();
const node = node24();
process.env.PATH = join(root, 'node_modules', '.bin') + delimiter + process.env.PATH;

switch (what) {
  case '--test':
    standIn(node, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...rest]);
    break;
  case '--document':
    standIn(node, [join(root, 'test', 'schemathesis', 'run.ts')]);
    break;
  case '--check':
    standIn(node, [join(root, 'scripts', 'check.js')]);
    break;
  case '--bench':
    standIn(node, [...memoryFlags, join(root, 'bench', 'run.ts'), ...rest]);
    break;
  default:
    standIn(node, [...memoryFlags, join(root, 'src', 'main.ts'), what, ...rest]);
}
