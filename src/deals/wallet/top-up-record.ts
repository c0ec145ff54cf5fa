import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, LadingError } from '../../errors.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { decodeSignedMessage, encodeSignedMessage, type SignedMessage } from '../../filecoin/messages.ts';
import { isMissing, nameNew, syncFolder } from '../../storage/durable-file.ts';

/** The one top-up of an address that is under way; it is kept from before it is sent until its end is known. */
export interface TopUpRecord {
  find(): Promise<SignedMessage | undefined>;
  /** Durable when it resolves. Answers false when there is one already, which then counts. */
  keep(signed: SignedMessage): Promise<boolean>;
  /** Of this message alone: another command may have begun the next top-up meanwhile. */
  forget(signed: SignedMessage): Promise<void>;
  /** Where it is, for a person who must remove it. */
  readonly path: string;
}

const OWNER_ONLY = 0o600;

const lineOf = (signed: SignedMessage) => `${Buffer.from(encodeSignedMessage(signed)).toString('hex')}\n`;

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** A file below `dataDir`; it holds a signed message, and no key. */
export function openTopUpRecord(dataDir: string, address: string): TopUpRecord {
  const path = join(dataDir, 'wallet', `top-up-${address}.hex`);
  return {
    path,
    async find() {
      const text = await textOf(path);
      if (text === undefined) return undefined;
      try {
        const signed = decodeSignedMessage(Uint8Array.from(Buffer.from(text.trim(), 'hex')));
        if (formatAddress(signed.message.from) === address) return signed;
        throw new Error(`it is a message of ${formatAddress(signed.message.from)}`);
      } catch (cause) {
        const why = describeError(cause);
        const told = `${path} cannot be read (${why}): see on chain whether a top-up was made, then remove it`;
        throw new LadingError('TOP_UP_UNREADABLE', told, { cause });
      }
    },
    async keep(signed) {
      await mkdir(dirname(path), { recursive: true });
      // Whole or not there: a torn file could not be told from a message that was sent.
      const whole = `${path}.${randomUUID()}`;
      await using file = await open(whole, 'wx', OWNER_ONLY);
      await file.writeFile(lineOf(signed));
      await file.sync();
      const isKept = await nameNew(whole, path);
      if (!isKept) await rm(whole, { force: true });
      await syncFolder(dirname(path));
      return isKept;
    },
    async forget(signed) {
      if ((await textOf(path)) !== lineOf(signed)) return;
      await rm(path, { force: true });
      await syncFolder(dirname(path));
    },
  };
}
