import { Piece } from '@web3-storage/data-segment';
import type { VirtualCar } from '../../src/aggregate/bytes/virtual-car.ts';
import { header, rawBlock, section, sections, type Block } from './car-builder.ts';
import { BATCH_ROOT } from './seed-rows.ts';
import { CID } from 'multiformats/cid';

/** An aggregate's bytes by hand, with the place of each run and the piece that data-segment makes of them. */
export function memoryAggregate(runs: readonly (readonly Block[])[], tree = sections([rawBlock('a batch tree')])) {
  const parts = [header({ roots: [CID.parse(BATCH_ROOT)], version: 1 }), ...runs.map(sections), tree];
  return { ...memoryPiece(Buffer.concat(parts)), places: placesOf(parts) };
}

function placesOf(parts: readonly Uint8Array[]): { start: number; end: number }[] {
  let start = parts[0]?.length ?? 0;
  return parts.slice(1, -1).map(({ length }) => {
    const place = { start, end: start + length };
    start = place.end;
    return place;
  });
}

/** Any bytes as a piece; data-segment refuses fewer than 65, which a unit of zeros around them makes up for. */
export function memoryPiece(bytes: Uint8Array) {
  const payload = bytes.length < 65 ? Buffer.concat([bytes, Buffer.alloc(127 - bytes.length)]) : bytes;
  const { link, size } = Piece.fromPayload(Uint8Array.from(payload)).toInfo();
  const car: VirtualCar = {
    carBytes: bytes.length,
    async *readRange(start, end) {
      if (start < 0 || start > end || end > bytes.length) throw new Error(`no bytes ${start} to ${end}`);
      // Odd chunks, so that nothing may count on their size.
      for (let at = start; at < end; at += 100_003) yield bytes.subarray(at, Math.min(at + 100_003, end));
    },
  };
  return { bytes, car, pieceCid: link.toString(), pieceSize: Number(size) };
}

/** Blocks whose section takes exactly so many bytes. */
export function blockOfSection(bytes: number, fill = 1): Block {
  for (let size = Math.max(0, bytes - 40); size < bytes; size += 1) {
    const block = rawBlock(Buffer.alloc(size, fill));
    if (section(block).length === bytes) return block;
  }
  throw new Error(`no section has ${bytes} bytes`);
}
