import { CborReader } from './cbor-reader.ts';
import { readBytes, readText } from './mk12-fields.ts';

/** The provider states where its retrievals are served to whoever opens a stream; there is no request. */
export const TRANSPORTS_PROTOCOL = '/fil/retrieval/transports/1.0.0';

export interface ServedTransport {
  /** `libp2p`, `http`, `https`, `bitswap`. */
  name: string;
  /** Binary multiaddrs. */
  addresses: Uint8Array[];
}

/** No provider serves more ways, or lists more addresses of one. */
const MAX_ITEMS = 64;

/** Reads a QueryResponse (Boost retrievalmarket/types/transports.go). Throws FormatError. */
export function decodeTransports(bytes: Uint8Array): ServedTransport[] {
  return CborReader.decode(bytes, (reader) => {
    const { Protocols } = reader.map({ Protocols: (list) => list.array(readTransport, MAX_ITEMS) });
    return Protocols;
  });
}

function readTransport(reader: CborReader): ServedTransport {
  const { Name, Addresses } = reader.map({ Name: readText, Addresses: (list) => list.array(readBytes, MAX_ITEMS) });
  return { name: Name, addresses: Addresses };
}
