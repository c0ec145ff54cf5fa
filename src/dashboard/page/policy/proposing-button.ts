import type { VNode } from 'preact';
import { callApi } from '../data/call-api.ts';
import { ActionButton } from '../parts/dialog.ts';
import { part } from '../parts/part.ts';

/** Stops proposing as a whole, or begins again. */
export function ProposingButton({ proposing, done }: { proposing: boolean; done: () => void }): VNode {
  const act = (verb: 'pause' | 'resume') => async (reason: string) => {
    await callApi(`/proposing/${verb}`, { method: 'POST', body: { reason } });
    done();
  };
  return proposing
    ? part(ActionButton, {
        label: 'Pause proposing',
        title: 'Pause proposing to all providers?',
        text: 'Nothing new is proposed until it is resumed. Deals that are under way go on.',
        verb: 'Pause proposing',
        done: 'Proposing is paused.',
        act: act('pause'),
      })
    : part(ActionButton, {
        label: 'Resume proposing',
        title: 'Resume proposing?',
        text: 'Aggregates that are short of deals are looked at now.',
        verb: 'Resume proposing',
        done: 'Proposing goes on.',
        act: act('resume'),
      });
}
