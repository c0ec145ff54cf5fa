import { parentPort } from 'node:worker_threads';
import { createFastCommp } from './commp-engine.ts';
import type { Commp } from '../filecoin/commp/commp.ts';
import type { ThreadAnswer, ThreadRequest } from './commp-threads.ts';

function answer(reply: ThreadAnswer, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(reply, transfer);
}

let commp: Commp | undefined;

/** One stream at a time, in order; a new one replaces what was left of the last. */
function take(request: ThreadRequest): void {
  switch (request.kind) {
    case 'start':
      commp = createFastCommp();
      return;
    case 'bytes':
      commp?.update(new Uint8Array(request.buffer, 0, request.length));
      return answer({ kind: 'taken', buffer: request.buffer }, [request.buffer]);
    case 'end': {
      if (commp === undefined) throw new Error('a stream ended that had not started');
      const digest = commp.digest();
      const root = request.level === undefined ? digest.root : commp.rootAt(request.level);
      commp = undefined;
      return answer({ kind: 'digest', digest: { ...digest, root } });
    }
    default:
      throw new Error(`a hashing thread does not know ${JSON.stringify(request)}`);
  }
}

parentPort?.on('message', take);
