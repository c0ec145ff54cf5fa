import { LadingError } from '../errors.ts';
import type { Fetcher } from '../outgoing/fetcher.ts';

export interface WebhookCall {
  url: string;
  body: string;
  headers: Readonly<Record<string, string>>;
  /** Asked once the connection stands, right before anything is sent; false: nothing is, and `CallOff` is thrown. */
  mayGo?(): Promise<boolean>;
}

/** Why a call was not taken. */
export interface CallFault {
  error: string;
  /** Undefined: there was no answer. */
  status?: number;
}

/** The call was not ours to make any more. */
export class CallOff extends Error {
  override name = 'CallOff';
}

/** A receiver takes the call and does its work later; one that needs longer is tried again. */
const CALL_LIMIT_MS = 15_000;
/** Nobody reads what a receiver says; so much is let through, so that it can end in good order. */
const MAX_ANSWER_BYTES = 64 * 1024;
const limits = { headMs: CALL_LIMIT_MS, allMs: 2 * CALL_LIMIT_MS, bodyBytes: MAX_ANSWER_BYTES };

/**
 * One POST; no redirect is followed. Undefined when it was taken (2xx), else what went wrong. Throws only `CallOff`, what
 * `mayGo` throws, and when `signal` aborts.
 */
export async function callWebhook(
  { mayGo, ...call }: WebhookCall,
  fetcher: Pick<Fetcher, 'request'>,
  signal: AbortSignal,
): Promise<CallFault | undefined> {
  const go = async () => {
    if (mayGo !== undefined && !(await mayGo())) throw new CallOff('another process makes this call, or nobody may');
  };
  try {
    using answer = await fetcher.request({ ...call, method: 'POST', limits, mayGo: go, signal });
    const { status } = answer;
    if (status >= 200 && status < 300) {
      await readOff(answer.body);
      return undefined;
    }
    const isRedirect = status >= 300 && status < 400;
    return { error: `it answered ${status}${isRedirect ? ': redirects are not followed' : ''}`, status };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LadingError) return { error: error.message };
    throw error;
  }
}

/** Its status says that it took the call, whatever becomes of the rest. */
async function readOff(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _chunk of body);
  } catch {
    // Longer than anybody wants, or cut.
  }
}
