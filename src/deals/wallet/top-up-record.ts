import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, LadingError } from '../../errors.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { decodeSignedMessage, encodeSignedMessage, type SignedMessage } from '../../filecoin/messages.ts';
import { isMissing, nameNew, syncFolder } from '../../storage/durable-file.ts';

/** The messages of one top-up, all of one nonce so that one of them is executed: each but the first has a higher fee. */
export type TopUpMessages = readonly [SignedMessage, ...SignedMessage[]];

/** The one top-up of an address that is under way; it is kept from before it is sent until its end is known. */
export interface TopUpRecord {
  find(): Promise<TopUpMessages | undefined>;
  /** Durable when it resolves. Answers false when there is one already, which then counts. */
  keep(signed: SignedMessage): Promise<boolean>;
  /** The same top-up with one message more; durable when it resolves. */
  add(messages: TopUpMessages, raised: SignedMessage): Promise<TopUpMessages>;
  /** Of this top-up alone: another command may have begun the next meanwhile. */
  forget(messages: TopUpMessages): Promise<void>;
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

/** One line each, the first sent first. Throws where they are not of one nonce of the address. */
function readLines(text: string, address: string): TopUpMessages {
  const [first, ...raised] = text
    .trim()
    .split('\n')
    .map((line) => decodeSignedMessage(Uint8Array.from(Buffer.from(line, 'hex'))));
  if (first === undefined) throw new Error('it is empty');
  for (const { message } of [first, ...raised]) {
    if (formatAddress(message.from) !== address) throw new Error(`it is a message of ${formatAddress(message.from)}`);
    if (message.nonce !== first.message.nonce) throw new Error('its messages are not of one nonce');
  }
  return [first, ...raised];
}

/** Whole or not there: a torn file could not be told from a message that was sent. */
async function writeWhole(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const whole = `${path}.${randomUUID()}`;
  await using file = await open(whole, 'wx', OWNER_ONLY);
  await file.writeFile(text);
  await file.sync();
  return whole;
}

/** A file below `dataDir`; it holds signed messages, and no key. */
export function openTopUpRecord(dataDir: string, address: string): TopUpRecord {
  const path = join(dataDir, 'wallet', `top-up-${address}.hex`);
  return {
    path,
    async find() {
      const text = await textOf(path);
      if (text === undefined) return undefined;
      try {
        return readLines(text, address);
      } catch (cause) {
        const why = describeError(cause);
        const told = `${path} cannot be read (${why}): see on chain whether a top-up was made, then remove it`;
        throw new LadingError('TOP_UP_UNREADABLE', told, { cause });
      }
    },
    async keep(signed) {
      const whole = await writeWhole(path, lineOf(signed));
      const isKept = await nameNew(whole, path);
      if (!isKept) await rm(whole, { force: true });
      await syncFolder(dirname(path));
      return isKept;
    },
    async add([first, ...raised], next) {
      const messages: TopUpMessages = [first, ...raised, next];
      await rename(await writeWhole(path, messages.map(lineOf).join('')), path);
      await syncFolder(dirname(path));
      return messages;
    },
    async forget([first]) {
      if (!(await textOf(path))?.startsWith(lineOf(first))) return;
      await rm(path, { force: true });
      await syncFolder(dirname(path));
    },
  };
}
