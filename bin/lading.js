#!/usr/bin/env node
// The command line on any Node >= 20: hands over to Node 24 where this one is older.
import { join } from 'node:path';
import { memoryFlags, node24, root, standIn } from '../scripts/node24.js';

standIn(node24(), [...memoryFlags, join(root, 'src', 'main.ts'), ...process.argv.slice(2)]);
