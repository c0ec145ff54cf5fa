/** As much of `ws`, which brings no types, as a dial needs. */
declare module 'ws' {
  import type { LookupFunction } from 'node:net';

  export class WebSocket extends globalThis.WebSocket {
    constructor(
      url: string,
      options: { lookup?: LookupFunction; servername?: string; followRedirects: boolean; perMessageDeflate: boolean },
    );
    /** Destroys the socket at once, also one whose upgrade is not answered yet. */
    terminate(): void;
  }
}
