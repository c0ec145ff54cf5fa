import * as http from 'node:http';
import * as https from 'node:https';
import type { LookupFunction } from 'node:net';
import { isIPv6 } from 'node:net';
import { describeError, LadingError } from '../errors.ts';
import { parseWebhookUrl, resolveWebhook, type AddressRules } from './webhook-address.ts';

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

/**
 * One POST to the address that was checked in this very call: the name is not resolved again, and no redirect followed.
 * Undefined when it was taken (2xx), else what went wrong. Throws only `CallOff`, and when `signal` aborts.
 */
export async function callWebhook(
  call: WebhookCall,
  rules: AddressRules,
  signal: AbortSignal,
): Promise<CallFault | undefined> {
  try {
    const url = parseWebhookUrl(call.url);
    const address = await resolveWebhook(url, rules);
    const status = await post({ ...call, url, address }, AbortSignal.any([signal, AbortSignal.timeout(CALL_LIMIT_MS)]));
    if (status >= 200 && status < 300) return undefined;
    const isRedirect = status >= 300 && status < 400;
    return { error: `it answered ${status}${isRedirect ? ': redirects are not followed' : ''}`, status };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CallOff) throw error;
    if (error instanceof LadingError) return { error: error.message };
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return { error: isLate ? `no answer within ${CALL_LIMIT_MS / 1_000} s` : describeError(error) };
  }
}

interface CheckedCall extends Omit<WebhookCall, 'url'> {
  url: URL;
  address: string;
}

function post({ url, address, body, headers, mayGo }: CheckedCall, signal: AbortSignal): Promise<number> {
  const family = isIPv6(address) ? 6 : 4;
  const lookup: LookupFunction = (_host, { all }, done) => {
    if (all === true) done(null, [{ address, family }]);
    else done(null, address, family);
  };
  const isSecure = url.protocol === 'https:';
  const { request } = isSecure ? https : http;
  return new Promise<number>((resolve, reject) => {
    const sending = request(
      url,
      // A connection of its own: one kept from before would be to an address that was checked before.
      {
        method: 'POST',
        agent: false,
        lookup,
        signal,
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) response.destroy();
        });
        response.on('error', () => undefined);
        response.once('close', () => resolve(response.statusCode ?? 0));
      },
    );
    const fail = (error: unknown) => reject(signal.aborted ? signal.reason : error);
    sending.once('error', fail);
    // A receiver that answers with another protocol's first words: without this nobody would be told of the end.
    sending.once('upgrade', ({ statusCode = 0 }, socket) => {
      socket.destroy();
      resolve(statusCode);
    });
    const go = async () => {
      if (mayGo !== undefined && !(await mayGo())) throw new CallOff('another process makes this call');
      sending.end(body);
    };
    sending.once('socket', (socket) =>
      socket.once(
        isSecure ? 'secureConnect' : 'connect',
        () =>
          void go().catch((error: unknown) => {
            fail(error);
            sending.destroy();
          }),
      ),
    );
  });
}
