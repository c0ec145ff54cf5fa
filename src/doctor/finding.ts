import { describeError } from '../errors.ts';

/** What was looked at, how it is, and what to do where something is wrong. */
export interface Finding {
  check: string;
  ok: boolean;
  text: string;
  /** Only where something is to be done. */
  advice?: string;
}

export function sound(check: string, text: string): Finding {
  return { check, ok: true, text };
}

export function wrong(check: string, text: string, advice: string): Finding {
  return { check, ok: false, text, advice };
}

/** What the check finds; a check that fails altogether is a finding too, with this advice. */
export async function examine(check: string, advice: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [wrong(check, describeError(error), advice)];
  }
}
