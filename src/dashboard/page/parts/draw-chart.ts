import uPlot from 'uplot';

export interface Series {
  label: string;
  /** As many as there are times; null where nothing is known. */
  values: readonly (number | null)[];
  /** Which of the six colours of the theme; without it by its place. */
  colour?: 1 | 2 | 3 | 4 | 5 | 6;
  filled?: boolean;
  stepped?: boolean;
}

interface Drawing {
  times: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  height: number;
  /** Aborted: the chart goes. */
  signal: AbortSignal;
}

const AXIS_WIDTH = 64;
const DAY_SECONDS = 86_400;
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const HOUR = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'UTC' });

/** `24 Nov`, or `13:30` where the ticks are closer than days. */
function timeLabels(times: readonly number[], step: number): string[] {
  return times.map((seconds) =>
    (step < DAY_SECONDS && seconds % DAY_SECONDS !== 0 ? HOUR : DAY).format(seconds * 1_000),
  );
}

function optionsOf(element: HTMLElement, { series, format, height }: Drawing): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const font = `12px ${style.fontFamily}`;
  const axis = {
    stroke: colour('text-soft'),
    font,
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height,
    cursor: { y: false },
    legend: { live: true },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), 'Etc/UTC'),
    axes: [
      { ...axis, values: (...[, times, , , step]) => timeLabels(times, step) },
      { ...axis, size: AXIS_WIDTH, values: (_chart, values) => values.map(format) },
    ],
    series: [
      { label: 'Time', value: '{YYYY}-{MM}-{DD} {HH}:{mm}' },
      ...series.map(({ label, colour: wanted, filled = false, stepped = false }, at) => {
        const stroke = colour(`chart-${wanted ?? (at % 6) + 1}`);
        const steps = stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
        return {
          label,
          stroke,
          width: 2,
          points: { show: false },
          ...(filled && { fill: `${stroke}26` }),
          ...(steps !== undefined && { paths: steps }),
          value: (_chart: uPlot, value: number | null) => (value === null ? '–' : format(value)),
        };
      }),
    ],
  };
}

/** Draws into the element, and anew when it becomes wider or the theme changes, until the signal. */
export function drawChart(element: HTMLElement, drawing: Drawing): void {
  const data: uPlot.AlignedData = [[...drawing.times], ...drawing.series.map(({ values }) => [...values])];
  let chart = new uPlot(optionsOf(element, drawing), data, element);
  const redraw = (): void => {
    chart.destroy();
    chart = new uPlot(optionsOf(element, drawing), data, element);
  };
  const sizes = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: drawing.height }));
  sizes.observe(element);
  addEventListener('theme', redraw, { signal: drawing.signal });
  drawing.signal.addEventListener('abort', () => {
    sizes.disconnect();
    chart.destroy();
  });
}
