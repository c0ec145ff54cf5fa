import { createReadStream } from 'node:fs';
import { createFastCommp } from '../hashing/commp-engine.ts';
import { pieceCidV1, pieceCidV2 } from '../filecoin/piece.ts';
import { formatBytes } from '../filecoin/units.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';

const usage = 'commp FILE [--json]';

export const commp: Command = {
  usage,
  summary: 'piece CID (v1 and v2) and padded piece size of a file, as Filecoin computes them',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, jsonOption);
    const file = positional({ positionals, usage }, 0, 'FILE');
    const hasher = createFastCommp();
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hasher.update(chunk);
    const { root, paddedBytes, rawBytes } = hasher.digest();
    const found = {
      pieceCid: pieceCidV1(root).toString(),
      pieceCidV2: pieceCidV2(root, rawBytes).toString(),
      pieceSize: paddedBytes,
      size: rawBytes,
    };
    if (values.json) io.print(toJson(found));
    else {
      io.print(`piece CID v1  ${found.pieceCid}`);
      io.print(`piece CID v2  ${found.pieceCidV2}`);
      io.print(`piece size    ${paddedBytes} bytes (${formatBytes(paddedBytes)}), of ${rawBytes} bytes of file`);
    }
    return 0;
  },
};
