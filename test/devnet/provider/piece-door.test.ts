import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startPieceDoor, type ServedPiece } from '../../../src/devnet/provider/piece-door.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const CAR = Buffer.from('a car of some bytes');

async function serving(change: Partial<ServedPiece> = {}) {
  const folder = await temporaryFolder();
  const path = join(folder.path, 'a.car');
  await writeFile(path, CAR);
  const piece = { path, carBytes: CAR.length, totalBytes: 127, isWrong: false, ...change };
  const door = await startPieceDoor((pieceCid) => (pieceCid === 'baga1' ? piece : undefined));
  const get = async (range?: string, method = 'GET', name = 'baga1') => {
    const headers = range === undefined ? {} : { range };
    const response = await fetch(`http://127.0.0.1:${door.port}/piece/${name}`, { headers, method });
    const body = Buffer.from(await response.arrayBuffer());
    return { status: response.status, body, span: response.headers.get('content-range'), headers: response.headers };
  };
  const close = async () => {
    await door.close();
    await folder[Symbol.asyncDispose]();
  };
  return { get, [Symbol.asyncDispose]: close };
}

it('serves the CAR and the zeros that fill the piece, whole or a range, as Boost does', async () => {
  await using door = await serving();
  const whole = await door.get();
  expect([whole.status, whole.headers.get('etag')]).toEqual([200, '"baga1"']);
  expect(whole.body.equals(Buffer.concat([CAR, Buffer.alloc(127 - CAR.length)]))).toBe(true);
  const part = await door.get('bytes=17-21');
  expect([part.status, part.span, part.body.toString('latin1')]).toEqual([206, 'bytes 17-21/127', 'es\0\0\0']);
  expect(await door.get('bytes=120-999')).toMatchObject({ status: 206, span: 'bytes 120-126/127' });
  expect(await door.get('bytes=127-')).toMatchObject({ status: 416, span: 'bytes */127' });
  const head = await door.get(undefined, 'HEAD');
  expect([head.status, head.headers.get('content-length'), head.body.length]).toEqual([200, '127', 0]);
  expect((await door.get(undefined, 'GET', 'baga2')).status).toBe(404);
});

it('serves other bytes, or less of them, where its persona says so', async () => {
  await using wrong = await serving({ isWrong: true });
  const { body } = await wrong.get();
  expect(body.length).toBe(127);
  expect(body.subarray(0, CAR.length).equals(CAR)).toBe(false);
  await using short = await serving({ totalBytes: 9 });
  expect((await short.get()).body.toString()).toBe('a car of ');
});
