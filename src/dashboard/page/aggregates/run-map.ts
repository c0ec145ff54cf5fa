import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { ListedAggregate } from '../answers.ts';
import { formatBytes, formatCount, formatShare, shorten } from '../format.ts';
import { layOutMap, type Box, type Segment } from './lay-out-map.ts';

const LINE_WIDTH = 1_000;
const LINE_HEIGHT = 26;
const LINE_GAP = 4;
/** A small aggregate needs no more than one line to be seen. */
const LINES = 8;
/** Seen, however small. */
const MIN_WIDTH = 0.8;

interface RunMapProps {
  aggregate: ListedAggregate;
  segments: readonly Segment[];
}

/** The bytes of the aggregate's CAR, line below line: what each upload fills, and what is free. */
export function RunMap({ aggregate, segments }: RunMapProps): VNode {
  const { capacity, carSize, length, entryCount, filler } = aggregate;
  const endBytes = carSize ?? length + filler;
  const totalBytes = carSize ?? capacity;
  const boxes = useMemo(
    () => layOutMap(segments, endBytes, { totalBytes, lines: LINES, lineWidth: LINE_WIDTH }),
    [segments, endBytes, totalBytes],
  );
  const height = LINES * (LINE_HEIGHT + LINE_GAP) - LINE_GAP;
  const label = `${formatCount(entryCount)} uploads fill ${formatShare(length / totalBytes)} of ${formatBytes(totalBytes)}`;
  return html`<figure class="map">
    <svg viewBox="0 0 ${LINE_WIDTH} ${height}" preserveAspectRatio="none" role="img" aria-label=${label}>
      ${Array.from({ length: LINES }, (_none, y) => html`<rect key=${y} class="map-free" x="0" y=${y * (LINE_HEIGHT + LINE_GAP)} width=${LINE_WIDTH} height=${LINE_HEIGHT} />`)}
      ${boxes.map(
        (box, at) => html`<rect key=${`box ${at}`} class="map-${box.kind}${box.isOdd ? ' map-odd' : ''}" x=${box.x}
          y=${box.y * (LINE_HEIGHT + LINE_GAP)} width=${Math.max(MIN_WIDTH, box.width)} height=${LINE_HEIGHT}><title>${titleOf(box)}</title></rect>`,
      )}
    </svg>
    <figcaption class="legend">
      <span class="legend-run">one upload</span><span class="legend-runs">many small ones</span>
      ${carSize !== null && html`<span class="legend-other">${filler > 0 ? 'zeros and ' : ''}batch tree</span>`}
      ${carSize === null && html`<span class="legend-free">free</span>`}
      <span class="legend-scale">a line is ${formatBytes(totalBytes / LINES)}</span>
    </figcaption>
  </figure>`;
}

function titleOf({ segment }: Box): string {
  if (segment === undefined) return 'The batch tree, and zeros where the piece would be too small';
  const { runs, root, length, offset } = segment;
  const what = root === null ? `${formatCount(runs)} uploads` : shorten(root);
  return `${what}: ${formatBytes(length)} from byte ${formatCount(offset)}`;
}
