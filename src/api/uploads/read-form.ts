import { on } from 'node:events';
import { Readable } from 'node:stream';
import { Busboy, type BusboyFileStream } from '@fastify/busboy';
import { BadInput, LadingError } from '../../errors.ts';

export interface FormFile {
  /** The name that the sender gave it, folders included. */
  path: string;
  /** To be read to its end before the next file is asked for. */
  content: AsyncIterable<Uint8Array>;
}

/**
 * The files of a multipart/form-data body, one after another as they stream in. Memory: a chunk of the body. Throws
 * `FORM_BROKEN`, `FORM_FIELD` where a part is no file, and what the body throws.
 */
export async function* readForm(body: AsyncIterable<Uint8Array>, contentType: string): AsyncGenerator<FormFile> {
  const form = openForm(contentType);
  const open = new Set<BusboyFileStream>();
  const source = Readable.from(body, { objectMode: true, highWaterMark: 1 });
  // A body that fails takes the form with it, and a form that fails whichever file is read.
  source.on('error', (error) => form.destroy(error));
  form.on('error', (error: Error) => {
    for (const file of open) file.destroy(error);
  });
  form.on('file', (_field, file) => {
    open.add(file);
    // What the parser tells of a file, it tells once: its reader may come later.
    file.on('error', (error) => file.destroy(error)).once('close', () => open.delete(file));
  });
  form.on('field', (name) => form.destroy(notAFile(name)));
  const files = on(form, 'file', { close: ['finish'] });
  source.pipe(form);
  let read = 0;
  try {
    for await (const [, file, name] of files) {
      read += 1;
      yield { path: decodeName(String(name ?? '')), content: readFile(file as BusboyFileStream, source) };
    }
    if (partsOf(form) > read) throw new Error('a part has no form-data disposition, or a head that is too long');
  } catch (error) {
    throw faultOf(error, source);
  } finally {
    source.destroy();
    form.destroy();
    for (const file of open) file.destroy();
  }
}

async function* readFile(file: BusboyFileStream, source: Readable): AsyncGenerator<Uint8Array> {
  try {
    yield* file as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw faultOf(error, source);
  }
}

/** The parser passes over a part whose head it does not take, and tells nobody: but it counts. */
function partsOf(form: InstanceType<typeof Busboy>): number {
  const { _parser: parser } = form as unknown as { _parser?: { _nparts?: number } };
  return parser?._nparts ?? 0;
}

function openForm(contentType: string): InstanceType<typeof Busboy> {
  try {
    return new Busboy({ headers: { 'content-type': contentType }, preservePath: true });
  } catch (cause) {
    throw broken(cause);
  }
}

/** What the body throws is told as it is; all else is the parser's. */
function faultOf(error: unknown, source: Readable): unknown {
  if (error instanceof LadingError || error === source.errored) return error;
  return broken(error);
}

function broken(cause: unknown): BadInput {
  const what = cause instanceof Error ? cause.message : String(cause);
  return new BadInput('FORM_BROKEN', `the body is no sound multipart/form-data: ${what}`, { cause });
}

function notAFile(field: string): BadInput {
  return new BadInput('FORM_FIELD', `the part '${field}' has no file name: each part is a file of the directory`);
}

const escapes: Record<string, string> = { '%22': '"', '%0D': '\r', '%0A': '\n' };

/** Browsers and Node write three characters of a file's name so (HTML, multipart/form-data encoding algorithm). */
function decodeName(name: string): string {
  return name.replaceAll(/%(?:22|0D|0A)/g, (escape) => escapes[escape] ?? escape);
}
