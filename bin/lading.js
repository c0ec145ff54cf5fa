#!/usr/bin/env node
// The command line on any Node >= 20: hands over to Node 24 where this one is older.
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { memoryFlags, node24, root, standIn } from '../scripts/node24.js';

const installed = root.includes(`${sep}node_modules${sep}`);
const hook = pathToFileURL(join(root, 'scripts', 'strip-types.js')).href;
const stripTypes = installed ? ['--disable-warning=ExperimentalWarning', '--import', hook] : [];
standIn(node24(), [...memoryFlags, ...stripTypes, join(root, 'src', 'main.ts'), ...process.argv.slice(2)]);
