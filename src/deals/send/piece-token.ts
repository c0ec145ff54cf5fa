import { createHmac, timingSafeEqual } from 'node:crypto';

export interface PieceTokens {
  /** The bearer token with which the SP of this deal fetches the piece. */
  tokenFor(dealUuid: string): string;
  /** The deal's uuid when the token is one of ours, else undefined. Whether the deal may still fetch is the caller's to say. */
  verify(token: string): string | undefined;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** `<uuid>.<base64url HMAC-SHA256(secret, 'piece:' + uuid)>`: nothing to store, the same in every process after any crash. */
export function createPieceTokens(secret: string): PieceTokens {
  const macOf = (dealUuid: string) => createHmac('sha256', secret).update(`piece:${dealUuid}`).digest();
  return {
    tokenFor: (dealUuid) => `${dealUuid}.${macOf(dealUuid).toString('base64url')}`,
    verify: (token) => {
      const [dealUuid = '', mac = '', ...rest] = token.split('.');
      if (rest.length > 0 || !UUID.test(dealUuid)) return undefined;
      const given = Buffer.from(mac);
      const expected = Buffer.from(macOf(dealUuid).toString('base64url'));
      return given.length === expected.length && timingSafeEqual(given, expected) ? dealUuid : undefined;
    },
  };
}
