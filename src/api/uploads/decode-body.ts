import { pipeline, Readable } from 'node:stream';
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { BadInput } from '../../errors.ts';

/**
 * Bytes out for each byte in. Text and tables compress to a tenth or a twentieth, and a CAR holds each block once, so
 * that more than this is a bomb: it would keep a processor busy with nothing for as long as MAX_UPLOAD_SIZE allows.
 */
const MAX_EXPANSION = 100;
/** The start may expand as it likes: a small CAR of zeros is no attack, and costs some milliseconds. */
const FREE_BYTES = 16 * 1024 * 1024;
/** 8 MiB, the window that RFC 8878 asks every decoder for; `zstd --long` asks for 128 MiB of memory each request. */
const ZSTD_WINDOW_LOG = 23;

type Decoder = Gunzip | ZstdDecompress;

const decoders: Record<string, () => Decoder> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
};

/**
 * The body without its content encoding (gzip or zstd; undefined or identity: as it is). Memory: the decoder's window
 * and a chunk. Throws `UNSUPPORTED_MEDIA_TYPE` at once; while it is read `ENCODING_BROKEN`, `EXPANSION_TOO_LARGE`, and
 * what the body throws. How many bytes may come out in all is for the reader to say.
 */
export function decodeBody(body: AsyncIterable<Uint8Array>, encoding = 'identity'): AsyncIterable<Uint8Array> {
  const name = encoding.trim().toLowerCase();
  if (name === 'identity') return body;
  const create = Object.hasOwn(decoders, name) ? decoders[name] : undefined;
  if (create === undefined) {
    throw new BadInput('UNSUPPORTED_MEDIA_TYPE', `content-encoding ${encoding} is not read: send gzip, zstd or none`);
  }
  return decoded(body, create(), name);
}

async function* decoded(body: AsyncIterable<Uint8Array>, decoder: Decoder, name: string): AsyncGenerator<Uint8Array> {
  const counted = { in: 0, out: 0 };
  const source = Readable.from(count(body, counted), { objectMode: true, highWaterMark: 1 });
  // Its faults reach the loop through the decoder; leaving the loop ends both ends of it.
  pipeline(source, decoder, () => undefined);
  try {
    for await (const chunk of decoder as AsyncIterable<Uint8Array>) {
      counted.out += chunk.length;
      checkExpansion(counted);
      yield chunk;
    }
  } catch (error) {
    throw isDecoderFault(error) ? broken(name, error) : error;
  }
  // Decoders stop at the end of the compressed stream, whatever follows.
  if (decoder.bytesWritten < counted.in) throw broken(name, new Error('bytes follow the end of the compressed stream'));
}

async function* count(body: AsyncIterable<Uint8Array>, counted: { in: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    counted.in += chunk.length;
    yield chunk;
  }
}

function checkExpansion(counted: { in: number; out: number }): void {
  if (counted.out <= FREE_BYTES + counted.in * MAX_EXPANSION) return;
  const message = `the body expands to more than ${MAX_EXPANSION} times its length: send it without content-encoding`;
  throw new BadInput('EXPANSION_TOO_LARGE', message, { details: { maxExpansion: MAX_EXPANSION } });
}

function isDecoderFault(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^(Z_|ZSTD_|ERR_ZLIB)/.test(String(error.code));
}

function broken(name: string, cause: Error): BadInput {
  return new BadInput('ENCODING_BROKEN', `the body is not sound ${name}: ${cause.message}`, { cause });
}
