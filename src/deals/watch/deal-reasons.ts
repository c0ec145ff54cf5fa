/** Why a deal is what it is: a stable code, and a sentence for people, which `/check` shows of a deal that ended. */
export interface Reason {
  code: string;
  text: string;
}

interface Term {
  startEpoch: number;
  endEpoch: number;
}

export function notPublished({ startEpoch }: Term): Reason {
  return { code: 'not_published', text: `not published on chain by its start epoch ${startEpoch}` };
}

export function noSector({ startEpoch }: Term): Reason {
  return { code: 'not_proven', text: `published, but no sector was proven by its start epoch ${startEpoch}` };
}

export function termOver({ endEpoch }: Term): Reason {
  return { code: 'term_over', text: `its term ended at epoch ${endEpoch}` };
}

export function sectorTerminated(epoch: number): Reason {
  return { code: 'sector_terminated', text: `its sector was terminated at epoch ${epoch}, before its end` };
}

export function vanished({ finalizedEpoch }: { finalizedEpoch: number }): Reason {
  return {
    code: 'vanished',
    text: `gone from the chain's state before its end, as of finalized epoch ${finalizedEpoch}`,
  };
}

export function slashedAt(slashEpoch: number): Reason {
  return { code: 'slashed', text: `slashed at epoch ${slashEpoch}, before its end` };
}

export function sectorActive(sectorStartEpoch: number): Reason {
  return { code: 'sector_active', text: `its sector is active since epoch ${sectorStartEpoch}` };
}

export const sectorUndone: Reason = { code: 'reorg', text: 'a reorg undid what followed its publication' };

export function sectorChanged(sectorNumber: bigint, sectorStartEpoch: number): Reason {
  return { code: 'sector_changed', text: `its sector is ${sectorNumber} since epoch ${sectorStartEpoch}` };
}

export const publishedAgain: Reason = { code: 'republished', text: 'its publish message landed again after a reorg' };
