import { html } from 'htm/preact';
import type { VNode } from 'preact';
import { callApi } from '../data/call-api.ts';
import { useList } from '../data/use-list.ts';
import { Chip } from '../parts/chip.ts';
import { ActionButton } from '../parts/dialog.ts';
import { Count, Time } from '../parts/figures.ts';
import { Panel } from '../parts/page.ts';
import { part } from '../parts/part.ts';
import { Empty } from '../parts/states.ts';
import { ListTable, type Column } from '../parts/table.ts';

interface DeadLetter {
  id: string;
  changes: number;
  attempts: number;
  error: string;
  failingSince: string;
  died: string;
  redriving: boolean;
  webhook: string;
  owner: string;
  url: string;
}

const PAGE_SIZE = 25;

/** Calls of webhooks that their receivers never took. */
export function DeadLetters(): VNode {
  const list = useList<DeadLetter>('/dead-letters', { topics: ['jobs'], pageSize: PAGE_SIZE });
  const redrive = async (body: object, reason: string): Promise<void> => {
    await callApi('/dead-letters/redrive', { method: 'POST', body: { ...body, reason } });
    list.reload();
  };
  const columns: readonly Column<DeadLetter>[] = [
    {
      header: 'Receiver',
      grows: true,
      cell: ({ url, owner }) =>
        html`<span class="error-text" title=${url}>${url} <span class="soft">of ${owner}</span></span>`,
    },
    { header: 'Changes', align: 'end', cell: ({ changes }) => part(Count, { value: changes }) },
    { header: 'Tries', align: 'end', minor: true, cell: ({ attempts }) => part(Count, { value: attempts }) },
    { header: 'Given up', cell: ({ died }) => part(Time, { at: died }) },
    { header: 'Error', cell: ({ error }) => html`<span class="error-text">${error}</span>` },
    { header: '', align: 'end', cell: (letter) => redriveOne(letter, redrive) },
  ];
  const all = part(ActionButton, {
    label: 'Redrive all',
    title: 'Try all dead letters once more?',
    text: 'Each receiver is called beside what it is told now; what it takes is a dead letter no more.',
    verb: 'Redrive all',
    done: 'Dead letters are tried once more.',
    act: (reason) => redrive({}, reason),
  });
  return part(
    Panel,
    {
      title: 'Dead letters',
      note: 'Calls of webhooks that their receivers did not take in all the time that they were tried',
      flush: true,
      ...(list.items.length > 0 && { actions: all }),
    },
    part(ListTable<DeadLetter>, {
      label: 'Dead letters',
      list,
      columns,
      rowKey: ({ id }) => id,
      empty: part(
        Empty,
        { title: 'Everybody was told' },
        'A call that fails is tried again for a day and more before it is a dead letter.',
      ),
    }),
  );
}

function redriveOne(
  { id, redriving, url }: DeadLetter,
  redrive: (body: object, reason: string) => Promise<void>,
): VNode {
  if (redriving) return part(Chip, { tone: 'busy' }, 'tried once more');
  return part(ActionButton, {
    label: 'Redrive',
    title: 'Try this dead letter once more?',
    text: url,
    verb: 'Redrive',
    done: 'The call is tried once more.',
    act: (reason) => redrive({ ids: [id] }, reason),
  });
}
