import { readFileSync } from 'node:fs';
import { createCommp, type Commp } from './filecoin/commp/commp.ts';
import { chooseHashPairs, type HashPairs } from './filecoin/commp/hash-pairs.ts';

const CPU_INFO = '/proc/cpuinfo';

/** The flags of the first processor as Linux lists them; undefined where they cannot be read. */
export function parseCpuFlags(cpuInfo: string): ReadonlySet<string> | undefined {
  const line = /^flags\s*:(.*)$/m.exec(cpuInfo)?.[1];
  return line === undefined ? undefined : new Set(line.trim().split(/\s+/));
}

function readCpuFlags(): ReadonlySet<string> | undefined {
  try {
    return parseCpuFlags(readFileSync(CPU_INFO, 'utf8'));
  } catch {
    return undefined;
  }
}

let chosen: HashPairs | undefined;

/** The fastest hashing that is safe on this machine; the choice is made once a process, at the first use. */
export function machineHashPairs(): HashPairs {
  chosen ??= chooseHashPairs({ arch: process.arch, cpuFlags: readCpuFlags() });
  return chosen;
}

/** A piece commitment in the making, hashed as fast as this machine safely can. */
export function createFastCommp(): Commp {
  return createCommp(machineHashPairs());
}
