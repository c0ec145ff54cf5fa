import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readForm } from '../../src/api/uploads/read-form.ts';
import { BadInput } from '../../src/errors.ts';

const TYPE = 'multipart/form-data; boundary=b';

/** As Node and browsers write a form. */
async function encode(files: readonly { name: string; bytes: Uint8Array }[]): Promise<{ type: string; body: Buffer }> {
  const form = new FormData();
  for (const { name, bytes } of files) form.append('file', new File([Uint8Array.from(bytes)], name));
  const response = new Response(form);
  return { type: response.headers.get('content-type') ?? '', body: Buffer.from(await response.arrayBuffer()) };
}

async function* inPieces(body: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let from = 0, at = 0; from < body.length; at += 1) {
    const size = sizes[at % sizes.length] ?? 1;
    yield body.subarray(from, from + size);
    from += size;
  }
}

async function readAll(body: AsyncIterable<Uint8Array>, type: string) {
  const files: { name: string; bytes: Uint8Array }[] = [];
  for await (const { path, content } of readForm(body, type)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(chunk);
    files.push({ name: path, bytes: new Uint8Array(Buffer.concat(chunks)) });
  }
  return files;
}

const names = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  fc.constantFrom('a/b "c".txt', 'ünï/写真 🚀.png', '..', 'x\ny', '%', 'a;b=c.txt', "it's"),
);
/** Of these Node makes others: a form has no way to say them. */
const isSayable = (name: string) => !/%(?:22|0D|0A)|\r(?!\n)|(?<!\r)\n|\r\n|\0|\\/.test(name) && name.isWellFormed();
const files = fc.array(fc.record({ name: names.filter(isSayable), bytes: fc.uint8Array({ maxLength: 3_000 }) }), {
  minLength: 1,
  maxLength: 6,
});
const sizes = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 5 });

describe('a form', () => {
  test('comes out as it went in, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(files, sizes, async (given, cuts) => {
        const { type, body } = await encode(given);
        expect(await readAll(inPieces(body, cuts), type)).toEqual(given);
      }),
      { numRuns: 100 },
    );
  });

  test('that is broken anywhere is told, or read to its end, and hangs nobody', async () => {
    await fc.assert(
      fc.asyncProperty(
        files,
        sizes,
        fc.nat(),
        fc.uint8Array({ maxLength: 40 }),
        async (given, cuts, place, garbage) => {
          const { type, body } = await encode(given);
          const at = place % (body.length + 1);
          const cut = readAll(inPieces(body.subarray(0, at), cuts), type);
          const wrong = Buffer.concat([body.subarray(0, at), garbage, body.subarray(at + garbage.length)]);
          for (const reading of [cut, readAll(inPieces(wrong, cuts), type)]) {
            await reading.catch((error: unknown) => expect(error).toBeInstanceOf(BadInput));
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test('whose body fails throws what the body threw', async () => {
    const fault = new Error('the client went away');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhalf of it');
      throw fault;
    }
    await expect(readAll(failing(), TYPE)).rejects.toBe(fault);
  });

  test('that nobody reads on is left at once', async () => {
    let left = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        yield Buffer.from('--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n');
        for (;;) {
          yield Buffer.alloc(65_536);
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        left = true;
      }
    }
    for await (const { path } of readForm(endless(), TYPE)) {
      expect(path).toBe('a');
      break;
    }
    await expect.poll(() => left).toBe(true);
  });
});
