import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

type Encoding = 'br' | 'gzip' | 'identity';

const brotli = promisify(brotliCompress);
const zip = promisify(gzip);
/** All of the page in half a second; the highest takes four times as long and saves 3 %. */
const BROTLI_QUALITY = 9;

/** Pure: the best of what the caller takes. */
export function chooseEncoding(accepted: string | undefined): Encoding {
  const offers = (accepted ?? '').split(',').map((offer) => offer.trim().toLowerCase());
  const takes = (name: string): boolean =>
    offers.some((offer) => offer === name || (offer.startsWith(`${name};`) && !/;\s*q=0(\.0*)?$/.test(offer)));
  if (takes('br')) return 'br';
  return takes('gzip') ? 'gzip' : 'identity';
}

/** Each body is compressed once for each encoding, when it is first asked for. */
export function createCompressor() {
  const kept = new WeakMap<Buffer, Map<Encoding, Promise<Buffer>>>();
  const compress = async (body: Buffer, encoding: Encoding): Promise<Buffer> => {
    if (encoding === 'identity') return body;
    if (encoding === 'gzip') return await zip(body);
    return await brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } });
  };
  return (body: Buffer, encoding: Encoding): Promise<Buffer> => {
    const known = kept.get(body) ?? new Map<Encoding, Promise<Buffer>>();
    kept.set(body, known);
    const ready = known.get(encoding) ?? compress(body, encoding);
    known.set(encoding, ready);
    return ready;
  };
}
