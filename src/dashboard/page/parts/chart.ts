import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Series } from './draw-chart.ts';

interface ChartProps {
  /** What it shows, in a sentence: it stands for the picture where none is seen. */
  label: string;
  /** Unix seconds, rising. */
  times: readonly number[];
  series: readonly Series[];
  /** How a value is written at the axis and under the pointer. */
  format: (value: number) => string;
  height?: number;
}

/** Curves over time. The library is loaded when the first chart is drawn. */
export function Chart({ label, times, series, format, height = 200 }: ChartProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const ending = new AbortController();
    const load = import('./draw-chart.ts').then(({ drawChart }) => {
      if (!ending.signal.aborted) drawChart(element, { times, series, format, height, signal: ending.signal });
    });
    load.catch(() => element.replaceChildren('The chart could not be loaded.'));
    return () => ending.abort();
  }, [JSON.stringify([times, series]), height]);
  return html`<figure class="chart" role="img" aria-label=${label}>
    <div ref=${box} style=${{ minHeight: `${height}px` }}></div>
  </figure>`;
}
