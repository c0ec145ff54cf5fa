import type { Change } from '../../src/events/change.ts';
import type { Sink } from '../../src/events/subscriber.ts';

/** A connection in memory, that is full when the test says so. */
export class MemorySink implements Sink {
  readonly changes: Change[] = [];
  /** How many changes each write held. */
  readonly writes: number[] = [];
  beats = 0;
  full = false;
  state: 'open' | 'ended' | 'cut' = 'open';

  write(text: string): boolean {
    const lines = text.split('\n').filter((line) => line.startsWith('data: '));
    this.changes.push(...lines.map((line) => JSON.parse(line.slice(6)) as Change));
    if (text.startsWith(':')) this.beats += 1;
    if (lines.length > 0) this.writes.push(lines.length);
    return !this.full;
  }

  end(): void {
    this.state = 'ended';
  }

  cut(): void {
    this.state = 'cut';
  }

  get ids(): string[] {
    return this.changes.map(({ id }) => id);
  }
}
