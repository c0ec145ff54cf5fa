import { readFileSync } from 'node:fs';
import { createCommp, type Commp } from '../filecoin/commp/commp.ts';
import { chooseEngine, type CommpEngine } from '../filecoin/commp/engine.ts';
import type { HashPairs } from '../filecoin/commp/pair-hashing.ts';

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

let chosen: CommpEngine | undefined;

/**
 * The fastest engine that is safe on this machine; the choice, a few milliseconds with its self-test, is made once a
 * thread, at the first use.
 */
export function machineEngine(): CommpEngine {
  chosen ??= chooseEngine({ arch: process.arch, cpuFlags: readCpuFlags() });
  return chosen;
}

/** The engine's hashing of pairs by themselves: for folding known roots. */
export function machineHashPairs(): HashPairs {
  return machineEngine().hashPairs;
}

/** A piece commitment in the making, hashed as fast as this machine safely can. */
export function createFastCommp(): Commp {
  return createCommp(machineEngine());
}
