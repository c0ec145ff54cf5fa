import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { rounded } from './measure.ts';

/** How long an event loop was held, in ms. */
export interface LoopDelay {
  p99: number;
  max: number;
}

/** Of this process since the watch began, and of an idle process at the same time: what the machine alone does. */
export interface LoopSeen {
  own: LoopDelay;
  control: LoopDelay;
  /**
   * The most CPU time, in ms, that the thread took from one look at the clock to the next, a millisecond or more later:
   * what we held the loop for ourselves. When another process has the core, that time is not in it.
   */
  ownCpuMax: number;
  /** The longest collection of garbage of this thread, in ms by the clock. */
  longestGc: number;
}

export interface LoopWatch extends AsyncDisposable {
  read(): Promise<LoopSeen>;
}

/** Ticks as often as a timer can, and keeps the most CPU time that this thread took between two ticks. */
function watchOwnCpu() {
  let most = 0;
  let before = process.threadCpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    most = Math.max(most, user + system);
    before = process.threadCpuUsage();
  }, 1);
  return () => {
    clearInterval(timer);
    return rounded(most / 1000);
  };
}

function watchCollections() {
  let longest = 0;
  const note = (entries: readonly { duration: number }[]) => {
    for (const { duration } of entries) longest = Math.max(longest, duration);
  };
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  return () => {
    note(observer.takeRecords());
    observer.disconnect();
    return rounded(longest);
  };
}

function inMs({ p99, max }: LoopDelay): LoopDelay {
  return { p99: rounded(p99 / 1e6), max: rounded(max / 1e6) };
}

function isDelay(value: unknown): value is LoopDelay {
  return typeof value === 'object' && value !== null && 'p99' in value && 'max' in value;
}

/** Watches this process's event loop beside an idle one's. */
export async function watchLoop(): Promise<LoopWatch> {
  const idle = fork(new URL('./idle-loop.ts', import.meta.url));
  const started = once(idle, 'message');
  idle.send('start');
  await started;
  const own = monitorEventLoopDelay({ resolution: 1 });
  own.enable();
  const endOwnCpu = watchOwnCpu();
  const endCollections = watchCollections();
  return {
    async read() {
      own.disable();
      const [ownCpuMax, longestGc] = [endOwnCpu(), endCollections()];
      const answer = once(idle, 'message');
      idle.send('stop');
      const [control]: unknown[] = await answer;
      if (!isDelay(control)) throw new Error('the idle process told no delays');
      return { own: inMs({ p99: own.percentile(99), max: own.max }), control: inMs(control), ownCpuMax, longestGc };
    },
    async [Symbol.asyncDispose]() {
      if (!idle.connected) return;
      const ended = once(idle, 'exit');
      idle.disconnect();
      await ended;
    },
  };
}

/** One line for people. */
export function describeLoop({ own, control, ownCpuMax, longestGc }: LoopSeen): string {
  return `held ${own.max} ms at most (p99 ${own.p99}), an idle process's ${control.max}; by CPU ${ownCpuMax}, garbage ${longestGc}`;
}
