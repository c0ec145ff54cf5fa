import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { formatBytes, formatShare } from '../format.ts';
import { Chart } from '../parts/chart.ts';
import { Chip } from '../parts/chip.ts';
import { Bytes, Time } from '../parts/figures.ts';
import { Meter } from '../parts/meter.ts';
import { Facts, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { curveOf, type Point } from './curve.ts';

export interface Delivery {
  offline: boolean;
  calledOff: string | null;
  saidStatus: string | null;
  saidAt: string | null;
  saidPublishMessage: string | null;
  transfer: {
    servedBytes: number;
    servedShare: number;
    begun: string;
    moved: string;
    bytesPerSecond: number;
    stalled: boolean;
    curve: Point[];
  } | null;
}

/** What the provider fetched of the piece, and what it says of the deal. */
export function TransferPanel({ delivery, stage }: { delivery: Delivery; stage: string }): VNode {
  const { transfer, offline, calledOff, saidStatus, saidAt } = delivery;
  const facts = [
    ['Called off', calledOff === null ? undefined : part(Time, { at: calledOff })],
    ['Provider says', saidStatus === null ? undefined : html`<q>${saidStatus}</q> ${part(Time, { at: saidAt })}`],
  ] as const;
  const note = offline
    ? 'Offline: the provider gets the bytes on another way.'
    : 'What its provider fetched of the piece.';
  return part(
    Panel,
    { title: 'Transfer', note },
    transfer === null
      ? part(
          Empty,
          { title: 'Nothing was fetched' },
          stage === 'accepted' ? 'The provider has its link, and begins when it is ready.' : '',
        )
      : part(Moved, { transfer }),
    part(Facts, { facts }),
  );
}

function Moved({ transfer }: { transfer: NonNullable<Delivery['transfer']> }): VNode {
  const { servedBytes, servedShare, begun, moved, bytesPerSecond, stalled, curve } = transfer;
  const { times, values } = curveOf([{ at: begun, bytes: 0 }, ...curve, { at: moved, bytes: servedBytes }]);
  const facts = [
    [
      'Of the piece',
      part(Meter, {
        label: 'Share of the piece that was fetched',
        value: servedShare,
        max: 1,
        tone: servedShare === 1 ? 'good' : 'busy',
      }),
    ],
    ['Bytes that left, repeats too', part(Bytes, { value: servedBytes })],
    ['Rate over all of it', bytesPerSecond === 0 ? '–' : `${formatBytes(bytesPerSecond)}/s`],
    ['Begun', part(Time, { at: begun })],
    ['Last moved', html`${part(Time, { at: moved })} ${stalled && part(Chip, { tone: 'bad' }, 'stalled')}`],
  ] as const;
  const label = `${formatBytes(servedBytes)} left, ${formatShare(servedShare)} of the piece`;
  return html`${part(Facts, { facts })}
    ${times.length > 1 && part(Chart, { label, times, series: [{ label: 'Bytes that left', values, filled: true }], format: formatBytes, height: 180 })}`;
}
