import { gzipSync } from 'node:zlib';
import * as dagCbor from '@ipld/dag-cbor';
import { car, carV2, header, sampleUpload, section, varint } from '../../support/car-builder.ts';
import type { HostileCar } from './hostile-cars.ts';

const good = sampleUpload('hostile header');

/** A header of these bytes, with sound sections behind it. */
function headed(body: Uint8Array): Buffer {
  return Buffer.concat([varint(body.length), body, good.run]);
}

function refused(name: string, body: Buffer, code: RegExp | string = /^CAR_/): HostileCar {
  return { name, body, status: 400, code };
}

const soundHeader = dagCbor.encode({ roots: [good.root], version: 1 });
/** The key and value of `version: 1`, and of `roots: [root]`, as dag-cbor writes them. */
const versionField = Buffer.from([0x67, ...Buffer.from('version'), 1]);
const rootsField = Buffer.from(soundHeader.subarray(1, soundHeader.length - versionField.length));

function carV2Of(payload: Buffer, change: { dataOffset?: bigint; dataSize?: bigint }): Buffer {
  const body = carV2(payload);
  if (change.dataOffset !== undefined) body.writeBigUInt64LE(change.dataOffset, 11 + 16);
  if (change.dataSize !== undefined) body.writeBigUInt64LE(change.dataSize, 11 + 24);
  return body;
}

/** What is wrong before the first block. */
export const hostileHeaders: HostileCar[] = [
  refused('a header with bytes behind its map', headed(Buffer.concat([soundHeader, Buffer.from([0])]))),
  refused(
    'a header of indefinite length',
    headed(Buffer.concat([Buffer.from([0xbf]), rootsField, versionField, Buffer.from([0xff])])),
  ),
  refused(
    'a header that has a key twice',
    headed(Buffer.concat([Buffer.from([0xa3]), rootsField, versionField, versionField])),
  ),
  refused('a header that is a list', headed(dagCbor.encode([1, [good.root]]))),
  refused('a header that is a CID', headed(dagCbor.encode(good.root))),
  refused('a header that is null', headed(dagCbor.encode(null))),
  refused('a version that is text', headed(dagCbor.encode({ roots: [good.root], version: '1' }))),
  refused('a version that is a fraction', headed(dagCbor.encode({ roots: [good.root], version: 1.5 }))),
  refused('a version below zero', headed(dagCbor.encode({ roots: [good.root], version: -1 }))),
  refused('a version of 2^64', headed(dagCbor.encode({ roots: [good.root], version: 2n ** 64n - 1n }))),
  refused('roots that are a map', headed(dagCbor.encode({ roots: { 0: good.root }, version: 1 }))),
  refused('a root that is null', headed(dagCbor.encode({ roots: [null], version: 1 }))),
  refused('a header without roots', headed(dagCbor.encode({ version: 1 }))),
  refused(
    'a root without the zero byte before its CID',
    headed(Buffer.concat([soundHeader]).fill(1, soundHeader.indexOf(0x2a) + 3, soundHeader.indexOf(0x2a) + 4)),
  ),
  refused(
    'a header of a hundred thousand lists within each other',
    headed(Buffer.concat([Buffer.alloc(100_000, 0x81), Buffer.from([0])])),
  ),
  refused(
    'a header of twenty thousand roots',
    headed(dagCbor.encode({ roots: Array.from({ length: 20_000 }, () => good.root), version: 1 })),
    'CAR_MANY_ROOTS',
  ),
  refused(
    'a header that claims a list of 2^60 roots',
    headed(Buffer.concat([Buffer.from([0xa2, 0x65]), Buffer.from('roots'), Buffer.from('9b1000000000000000', 'hex')])),
  ),
  refused(
    'a header whose length is a varint of 11 bytes',
    Buffer.concat([Buffer.alloc(10, 0x80), Buffer.from([1]), good.car]),
  ),
  refused('a header whose length is 2^64', Buffer.concat([Buffer.from('80808080808080808002', 'hex'), good.car])),
  refused('a header longer than the body', Buffer.concat([varint(500_000), soundHeader])),
  refused('sections without a header', good.run),
  refused('a CAR that is compressed, and does not say so', gzipSync(good.car)),
  refused('a page of HTML', Buffer.from('<!doctype html><title>502 Bad Gateway</title>')),
  refused('a ZIP archive', Buffer.from('504b0304140000000800', 'hex')),
  refused('CARv2 whose payload is at 2^63', carV2Of(good.car, { dataOffset: 2n ** 63n })),
  refused('CARv2 whose payload has 2^63 bytes', carV2Of(good.car, { dataSize: 2n ** 63n })),
  refused('CARv2 whose payload ends past 2^53', carV2Of(good.car, { dataSize: 2n ** 53n - 1n })),
  refused('CARv2 without a payload', carV2(good.car, { dataSize: 0 })),
  refused('CARv2 whose payload is shorter than its header', carV2(good.car, { dataSize: 10 })),
  refused('CARv2 whose payload ends within a section', carV2(good.car, { dataSize: good.car.length - 3 })),
  refused('CARv2 whose payload has no roots', carV2(car([], good.blocks))),
  refused('a CARv2 pragma and nothing else', Buffer.from('0aa16776657273696f6e02', 'hex')),
  refused('a CARv2 pragma with a root', Buffer.concat([header({ roots: [good.root], version: 2 }), good.run])),
  refused('two headers', Buffer.concat([header({ roots: [good.root], version: 1 }), good.car]), /^CAR_/),
  refused(
    'a section before the header',
    Buffer.concat([section(good.blocks[0] ?? { cid: good.root, bytes: new Uint8Array() }), good.car]),
  ),
];
