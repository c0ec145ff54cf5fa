import type { FastifyRequest } from 'fastify';
import type { PackBody } from '../../aggregate/receive/stage-car.ts';
import { BadInput } from '../../errors.ts';
import { packFile, packTree } from '../../pack-unixfs.ts';
import { readForm } from './read-form.ts';

/** As the nft.storage API took them. */
export const CAR_TYPES = ['application/vnd.ipld.car', 'application/car'];
const FORM_TYPE = 'multipart/form-data';

/** About 400 bytes of memory each until the last file came. Directories that are larger come as a CAR. */
const MAX_ENTRIES = 100_000;
const MAX_NAME_BYTES = 16 * 1024 * 1024;

export function isForm({ mediaType }: Pick<FastifyRequest, 'mediaType'>): boolean {
  return mediaType === FORM_TYPE;
}

/** How the body of a request becomes blocks, by its content type alone; undefined: it has them already, as a CAR. */
export function packOf(request: Pick<FastifyRequest, 'headers' | 'mediaType'>): PackBody | undefined {
  if (request.mediaType !== undefined && CAR_TYPES.includes(request.mediaType)) return undefined;
  if (!isForm(request)) return packOneFile;
  const contentType = request.headers['content-type'] ?? FORM_TYPE;
  return (body, take) => packForm(body, contentType, take);
}

const packOneFile: PackBody = async (body, take) => {
  const size = { bytes: 0 };
  const { cid } = await packFile(counted(body, size), take);
  if (size.bytes === 0) throw empty();
  return cid;
};

async function packForm(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  take: Parameters<PackBody>[1],
): ReturnType<PackBody> {
  const size = { bytes: 0 };
  const root = await packTree(formFiles(readForm(body, contentType), size), take, {
    wrap: true,
    maxEntries: MAX_ENTRIES,
    maxNameBytes: MAX_NAME_BYTES,
  });
  if (root === undefined || size.bytes === 0) throw empty();
  return root;
}

async function* formFiles(files: ReturnType<typeof readForm>, size: { bytes: number }) {
  for await (const { path, content } of files) yield { path, content: counted(content, size) };
}

async function* counted(content: AsyncIterable<Uint8Array>, size: { bytes: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    size.bytes += chunk.length;
    yield chunk;
  }
}

/** As the client says before it sends anything. */
function empty(): BadInput {
  return new BadInput('EMPTY_UPLOAD', 'the body has no bytes: there is nothing to store');
}
