import { BadInput, LadingError } from '../errors.ts';
import { readUrl } from '../outgoing/outgoing-url.ts';
import { findAddresses, type AddressRules } from '../public-address.ts';

/** The URL as it is kept. Throws `WEBHOOK_URL_REFUSED` unless, as things are now, calls may go there. */
export async function checkWebhookUrl(text: string, rules: AddressRules): Promise<string> {
  try {
    const url = readUrl(text);
    await findAddresses(url.hostname, rules);
    return url.href;
  } catch (cause) {
    if (!(cause instanceof LadingError)) throw cause;
    throw new BadInput('WEBHOOK_URL_REFUSED', `url: ${cause.message.replace(/^url: /, '')}`, { cause });
  }
}
