import type { Libp2p } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { createGate, type Gate } from '../../chain/gate.ts';

/**
 * An ask and the proposal after it share a connection. One kept longer may be dead without our knowing, and a proposal
 * into it would be neither sent nor unsent.
 */
const IDLE_MS = 5_000;
/**
 * A peer takes 32 or 64 streams of a protocol at once, by its version of libp2p, and cuts the whole connection where
 * there are more: with it all that is under way. The others wait their turn.
 */
const AT_ONCE = 16;

/** Exchanges with one peer, those that wait included. */
interface Exchanges {
  count: number;
  gate: Gate;
}

/**
 * Closes the connections to a peer some seconds after the last exchange with it, whatever became of that. Streams that
 * the peer opened itself do not count: it could hold a connection with one for ever.
 */
export function closeWhenIdle(node: Libp2p) {
  const timers = new Map<string, NodeJS.Timeout>();
  const peers = new Map<string, Exchanges>();
  async function closeIdle(peerId: string): Promise<void> {
    timers.delete(peerId);
    for (const connection of node.getConnections(peerIdFromString(peerId))) {
      if (connection.streams.length > 0) {
        connection.abort(new Error('nothing is left to say'));
        continue;
      }
      await connection.close({ signal: AbortSignal.timeout(IDLE_MS) }).catch((error: unknown) => {
        connection.abort(error instanceof Error ? error : new Error(String(error)));
      });
    }
  }
  function begin(peerId: string): Exchanges {
    clearTimeout(timers.get(peerId));
    timers.delete(peerId);
    const exchanges = peers.get(peerId) ?? { count: 0, gate: createGate(AT_ONCE) };
    exchanges.count += 1;
    peers.set(peerId, exchanges);
    return exchanges;
  }
  function end(peerId: string, exchanges: Exchanges): void {
    exchanges.count -= 1;
    if (exchanges.count > 0) return;
    peers.delete(peerId);
    timers.set(peerId, setTimeout(() => void closeIdle(peerId), IDLE_MS).unref());
  }
  return {
    /** Runs an exchange with the peer, its dial included, once there is room for it. */
    async exchange<T>(peerId: string, act: () => Promise<T>): Promise<T> {
      const exchanges = begin(peerId);
      try {
        return await exchanges.gate.run(act);
      } finally {
        end(peerId, exchanges);
      }
    },
    stop(): void {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
