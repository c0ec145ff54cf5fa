/** What the demo knows of its own run at one moment. */
export interface Snapshot {
  seconds: number;
  epoch: number | undefined;
  uploadsTotal: number;
  uploadsReceived: number;
  uploadsStowed: number;
  uploadsActive: number;
  aggregatesOpen: number;
  aggregatesSealed: number;
  dealsWanted: number;
  dealsByState: Record<string, number>;
  note: string;
}

const BAR_CELLS = 24;

function bar(done: number, total: number): string {
  const filled = total === 0 ? 0 : Math.round((Math.min(done, total) / total) * BAR_CELLS);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}`;
}

function row(label: string, done: number, total: number, rest = ''): string {
  return `  ${label.padEnd(10)} ${bar(done, total)} ${`${done}/${total}`.padStart(7)}  ${rest}`.trimEnd();
}

function sum(states: Record<string, number>, names: string[]): number {
  return names.reduce((total, name) => total + (states[name] ?? 0), 0);
}

/** Deals that have come at least as far as each stage; a refused one counts in none. */
function reached(states: Record<string, number>) {
  const active = sum(states, ['active']);
  const published = active + sum(states, ['published']);
  const accepted = published + sum(states, ['accepted']);
  const signed = accepted + sum(states, ['signed', 'sent']);
  return { signed, accepted, published, active, refused: sum(states, ['rejected', 'failed', 'abandoned']) };
}

/** The live picture, one row a stage, always the same number of lines so that redrawing moves nothing. */
export function progressLines(seen: Snapshot): string[] {
  const deals = reached(seen.dealsByState);
  const wanted = Math.max(seen.dealsWanted, deals.signed);
  const aggregates = seen.aggregatesOpen + seen.aggregatesSealed;
  return [
    `  ${seen.seconds.toFixed(0)} s${seen.epoch === undefined ? '' : `, epoch ${seen.epoch}`}`,
    row('received', seen.uploadsReceived, seen.uploadsTotal, 'uploads, checked block by block'),
    row('stowed', seen.uploadsStowed, seen.uploadsTotal, 'uploads with a place in an aggregate'),
    row('sealed', seen.aggregatesSealed, aggregates, 'aggregates with a piece CID'),
    row(
      'proposed',
      deals.signed,
      wanted,
      deals.refused > 0 ? `deals (${deals.refused} refused, asked elsewhere)` : 'deals',
    ),
    row('accepted', deals.accepted, wanted, 'by providers, who fetch the piece'),
    row('published', deals.published, wanted, 'on chain'),
    row('active', deals.active, wanted, 'proven in a sector'),
    `  ${seen.note}`,
  ];
}

/** One line for a pipe. */
export function progressText(seen: Snapshot): string {
  const deals = reached(seen.dealsByState);
  return (
    `${seen.seconds.toFixed(0)} s: received ${seen.uploadsReceived}/${seen.uploadsTotal}, stowed ${seen.uploadsStowed}, ` +
    `sealed ${seen.aggregatesSealed}, proposed ${deals.signed}, accepted ${deals.accepted}, ` +
    `published ${deals.published}, active ${deals.active}${deals.refused > 0 ? `, refused ${deals.refused}` : ''}`
  );
}

/** Draws over its own last picture on a terminal; in a pipe writes a plain line when something changed. */
export class ProgressView {
  readonly #write: (text: string) => void;
  readonly #isTerminal: boolean;
  #drawnLines = 0;
  #last = '';

  constructor(write: (text: string) => void, isTerminal: boolean) {
    this.#write = write;
    this.#isTerminal = isTerminal;
  }

  show(seen: Snapshot): void {
    if (this.#isTerminal) this.#draw(progressLines(seen));
    else this.#line(progressText(seen));
  }

  #draw(lines: string[]): void {
    const up = this.#drawnLines > 0 ? `\u001B[${this.#drawnLines}A` : '';
    // One write for the whole picture, each line cleared to its end: nothing flickers.
    this.#write(up + lines.map((line) => `${line}\u001B[K\n`).join(''));
    this.#drawnLines = lines.length;
  }

  #line(text: string): void {
    const changed = text.replace(/^\d+ s/, '');
    if (changed === this.#last) return;
    this.#last = changed;
    this.#write(`${text}\n`);
  }
}
