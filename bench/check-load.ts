import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Load {
  answers: number;
  ms: number;
  /** Of each answer, in milliseconds. */
  latencies: number[];
}

const HEADERS_END = '\r\n\r\n';

/** Reads one answer of a known length; throws unless it is a 200. */
async function readAnswer(socket: Socket): Promise<void> {
  let head = '';
  let bodyBytes = -1;
  let bytes = 0;
  while (bodyBytes < 0 || bytes < bodyBytes) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    if (bodyBytes >= 0) {
      bytes += chunk.length;
      continue;
    }
    head += chunk.toString('latin1');
    const end = head.indexOf(HEADERS_END);
    if (end < 0) continue;
    if (!head.startsWith('HTTP/1.1 200')) throw new Error(head.slice(0, 500));
    bodyBytes = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
    bytes = head.length - end - HEADERS_END.length;
  }
}

/**
 * So many connections, each with one request at a time, for so long. By sockets alone: an HTTP client would take more of
 * the machine than the server that is measured.
 */
export async function load(url: string, connections: number, ms: number, request: () => string): Promise<Load> {
  const { hostname, port } = new URL(url);
  const latencies: number[] = [];
  const start = performance.now();
  const lane = async () => {
    const socket = connect(Number(port), hostname).setNoDelay(true);
    await once(socket, 'connect');
    for (let at = performance.now(); at - start < ms; ) {
      const answered = readAnswer(socket);
      socket.write(request());
      await answered;
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return { answers: latencies.length, ms: performance.now() - start, latencies };
}
