import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ZOMBIE = 'Z';
/** Fields of /proc/PID/stat after the command in brackets, which may hold spaces and brackets itself. */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

/**
 * Letters and digits that name this very process and none that gets its number later: when it started.
 * Undefined: there is no such process, or only the zombie of one.
 */
export function processIdentity(pid: number): string | undefined {
  if (!exists(pid)) return undefined;
  const fields = procStat(pid);
  if (fields !== undefined) return fields[STATE_FIELD] === ZOMBIE ? undefined : fields[START_TIME_FIELD];
  const [state, ...startedAt] = ps(pid, 'stat=,lstart=').split(/\s+/);
  if (!state) return 'unknown';
  return state.startsWith(ZOMBIE) ? undefined : startedAt.join('').replaceAll(/\W/g, '');
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user exists too.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function procStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** How the process was called, its parts separated by spaces; undefined where the system does not tell. */
export function commandLine(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ps(pid, 'args=') || undefined;
  }
}

function ps(pid: number, format: string): string {
  if (process.platform === 'win32') return '';
  return spawnSync('ps', ['-ww', '-p', String(pid), '-o', format], { encoding: 'utf8' }).stdout?.trim() ?? '';
}
