import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatBytes, formatCount } from '../format.ts';

export interface Chunks {
  chunkBytes: number;
  total: number;
  hashed: readonly number[];
}

const PER_LINE = 64;
const SIDE = 12;
const STEP = 15;

/** A square for each chunk of the CAR, filled once its root is kept. */
export function ChunkStrip({ chunks, isSealed }: { chunks: Chunks; isSealed: boolean }): VNode {
  const { total, hashed, chunkBytes } = chunks;
  const known = new Set(hashed);
  const lines = Math.ceil(total / PER_LINE);
  const columns = Math.min(total, PER_LINE);
  const words = isSealed
    ? total === 1
      ? 'its one chunk is hashed'
      : `all ${formatCount(total)} chunks are hashed`
    : `${formatCount(hashed.length)} of ${formatCount(total)} chunks are hashed`;
  const note = isSealed ? '' : ' While it is open the first waits for the header, and the last may still grow.';
  return html`<figure class="chunks">
    ${
      total > 0 &&
      html`<svg viewBox="0 0 ${columns * STEP} ${lines * STEP}" style=${{ maxWidth: `${columns * STEP}px` }} role="img" aria-label=${words}>
        ${Array.from({ length: total }, (_none, at) => {
          const isHashed = isSealed || known.has(at);
          return html`<rect key=${at} class=${isHashed ? 'chunk-hashed' : 'chunk-open'} x=${(at % PER_LINE) * STEP} y=${Math.floor(at / PER_LINE) * STEP}
            width=${SIDE} height=${SIDE} rx="2"><title>Chunk ${at}: ${isHashed ? 'hashed' : 'not hashed yet'}</title></rect>`;
        })}
      </svg>`
    }
    <figcaption class="soft">${words} (${formatBytes(chunkBytes)} each).${note}</figcaption>
  </figure>`;
}
