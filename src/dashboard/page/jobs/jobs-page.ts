import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { callApi } from '../data/call-api.ts';
import { useList, type ListAnswer } from '../data/use-list.ts';
import { useResource } from '../data/use-resource.ts';
import { Chip, StateChip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Count, Nothing, Time } from '../parts/figures.ts';
import { Page, Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty, WithData } from '../parts/states.ts';
import { ListTable, Table, type Column } from '../parts/table.ts';
import { DeadLetters } from './dead-letters.ts';

interface Queue {
  queue: string;
  waiting: number;
  deferred: number;
  retry: number;
  active: number;
  failed: number;
  oldestDue: string | null;
}

interface TroubledJob {
  id: string;
  queue: string;
  data: Record<string, unknown>;
  state: 'retry' | 'failed';
  tries: number;
  error: string;
  created: string;
  next: string | null;
}

const PAGE_SIZE = 25;

/** What each queue of jobs does, which jobs fail, and which calls of webhooks were given up. */
export function JobsPage(): VNode {
  const queues = useResource<ListAnswer<Queue>>('/jobs', { topics: ['jobs'] });
  return part(
    Page,
    {
      title: 'Jobs',
      note: 'A job wakes a stage for something that is due. A lost or late one costs time and nothing else.',
    },
    part(
      Panel,
      { title: 'Queues', flush: true },
      part(WithData<ListAnswer<Queue>>, {
        resource: queues,
        children: ({ items }) => queueTable(items, queues.reload),
      }),
    ),
    part(Troubled, { done: queues.reload }),
    part(DeadLetters, {}),
  );
}

const MEANS: Readonly<Record<string, string>> = {
  stow: 'places waiting uploads',
  cut: 'cuts uploads larger than a piece',
  hash: 'hashes chunks of open aggregates',
  seal: 'seals aggregates',
  propose: 'fills the slots of aggregates',
  restore: 'fetches released bytes back',
  send: 'sends proposals to providers',
  status: 'asks providers how it goes',
  fetch: 'fetches what is to be pinned',
  pin: 'pins in the IPFS cluster',
  pull: 'pulls CARs from their addresses',
};

function figure(value: number, tone?: 'wait' | 'bad'): VNode {
  if (value === 0) return html`<span class="nothing figure">0</span>`;
  return html`<span class=${tone === undefined ? '' : `tone-${tone}`}>${part(Count, { value })}</span>`;
}

function queueTable(queues: readonly Queue[], done: () => void): VNode {
  const columns: readonly Column<Queue>[] = [
    {
      header: 'Queue',
      grows: true,
      cell: ({ queue }) =>
        html`<span><strong>${queue}</strong> <span class="soft queue-means">${MEANS[queue] ?? ''}</span></span>`,
    },
    { header: 'In hand', align: 'end', cell: ({ active }) => figure(active) },
    { header: 'Due', align: 'end', cell: ({ waiting }) => figure(waiting) },
    { header: 'Later', align: 'end', minor: true, cell: ({ deferred }) => figure(deferred) },
    { header: 'Retried', align: 'end', cell: ({ retry }) => figure(retry, 'wait') },
    { header: 'Given up', align: 'end', cell: ({ failed }) => figure(failed, 'bad') },
    { header: 'Oldest due', align: 'end', minor: true, cell: ({ oldestDue }) => part(Time, { at: oldestDue }) },
    {
      header: '',
      align: 'end',
      cell: (queue) => (queue.failed + queue.retry > 0 ? part(RedriveQueue, { queue, done }) : ''),
    },
  ];
  return part(Table<Queue>, { label: 'Queues', compact: true, columns, rows: queues, rowKey: ({ queue }) => queue });
}

function RedriveQueue({ queue, done }: { queue: Queue; done: () => void }): VNode {
  const count = queue.failed + queue.retry;
  return part(ActionButton, {
    label: 'Redrive',
    title: `Redrive all of ${queue.queue}?`,
    text: `${count === 1 ? '1 job that failed is' : `${count} jobs that failed are`} tried again now.`,
    verb: 'Redrive',
    done: `Jobs of ${queue.queue} are tried again.`,
    act: async (reason) => {
      await callApi('/jobs/redrive', { method: 'POST', body: { queue: queue.queue, reason } });
      done();
    },
  });
}

function Troubled({ done }: { done: () => void }): VNode {
  const list = useList<TroubledJob>('/jobs/troubled', { topics: ['jobs'], pageSize: PAGE_SIZE });
  const redriven = (): void => {
    list.reload();
    done();
  };
  const columns: readonly Column<TroubledJob>[] = [
    { header: 'Queue', cell: ({ queue }) => html`<strong>${queue}</strong>` },
    { header: 'For', cell: ({ data }) => subjectOf(data) },
    {
      header: 'State',
      cell: ({ state }) => (state === 'failed' ? part(Chip, { tone: 'bad' }, 'given up') : part(StateChip, { state })),
    },
    { header: 'Tries', align: 'end', cell: ({ tries }) => part(Count, { value: tries }) },
    {
      header: 'Next try',
      cell: ({ next }) => (next === null ? part(Nothing, { why: 'given up' }) : part(Time, { at: next })),
    },
    { header: 'Error', grows: true, cell: ({ error }) => html`<span class="error-text">${error}</span>` },
    { header: '', align: 'end', cell: (job) => part(RedriveJob, { job, done: redriven }) },
  ];
  return part(
    Panel,
    { title: 'Jobs in trouble', note: 'That failed when they were last tried', flush: true },
    part(ListTable<TroubledJob>, {
      label: 'Jobs in trouble',
      list,
      columns,
      rowKey: ({ id }) => id,
      empty: part(
        Empty,
        { title: 'No job fails' },
        'One that fails is tried again by itself; only what is given up waits for you.',
      ),
    }),
  );
}

function RedriveJob({ job, done }: { job: TroubledJob; done: () => void }): VNode {
  return part(ActionButton, {
    label: 'Redrive',
    title: `Try this job of ${job.queue} again now?`,
    verb: 'Redrive',
    done: 'The job is tried again.',
    act: async (reason) => {
      await callApi('/jobs/redrive', { method: 'POST', body: { ids: [job.id], reason } });
      done();
    },
  });
}

/** A job carries ids: they lead to the pages of what it is for. */
function subjectOf(data: Record<string, unknown>): VNode {
  const { aggregateId, dealId } = data;
  if (typeof dealId === 'string') return html`<a class="one-line" href="/dashboard/deals/${dealId}">a deal</a>`;
  if (typeof aggregateId === 'string')
    return html`<a class="one-line" href="/dashboard/aggregates/${aggregateId}">aggregate ${aggregateId}</a>`;
  const [first] = Object.entries(data);
  return first === undefined ? part(Nothing, {}) : html`<code>${first[0]} ${String(first[1])}</code>`;
}
