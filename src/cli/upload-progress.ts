import type { Clock } from '../clock.ts';
import { formatBytes, formatDuration } from '../filecoin/units.ts';

/** The eye takes no more than a few a second, and a terminal over a slow line neither. */
const REDRAW_MS = 200;
/** Before that the rate is noise. */
const MIN_RATE_MS = 1_000;
const ERASE_LINE = '\r\u001b[K';

interface ProgressOptions {
  name: string;
  totalBytes: number;
  clock: Clock;
  /** To the terminal; undefined: nothing is shown. */
  write: ((text: string) => void) | undefined;
}

/** One line of progress that is drawn over: share, rate, time left. */
export class UploadProgress {
  readonly #options: ProgressOptions;
  readonly #beganMs: number;
  #drawnMs = -Infinity;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#beganMs = options.clock.now().getTime();
  }

  show(bytes: number): void {
    const nowMs = this.#options.clock.now().getTime();
    if (this.#options.write === undefined || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const { name, totalBytes } = this.#options;
    this.#options.write(ERASE_LINE + progressLine({ name, totalBytes, bytes, tookMs: nowMs - this.#beganMs }));
  }

  /** Makes room for lines that stay. */
  clear(): void {
    if (this.#drawnMs > -Infinity) this.#options.write?.(ERASE_LINE);
  }
}

interface ProgressFacts {
  name: string;
  bytes: number;
  totalBytes: number;
  tookMs: number;
}

/** Pure. */
export function progressLine({ name, bytes, totalBytes, tookMs }: ProgressFacts): string {
  const percent = totalBytes === 0 ? 100 : Math.min(100, Math.floor((bytes / totalBytes) * 100));
  const share = `${name}  ${percent} %  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  if (tookMs < MIN_RATE_MS || bytes === 0) return share;
  const perMs = bytes / tookMs;
  const left = Math.max(0, totalBytes - bytes) / perMs;
  return `${share}  ${formatBytes(Math.round(perMs * 1_000))}/s  ${formatDuration(left)} left`;
}
