import { createHmac, timingSafeEqual } from 'node:crypto';

/** Whose session a cookie is: a token of the configuration by its name, or one of the database by its digest. */
export type Seat = { kind: 'configured'; name: string } | { kind: 'made'; digest: Buffer };

/** A working week: whoever looks each day logs in once in it. */
const SESSION_SECONDS = 7 * 86_400;

export interface SessionCookies {
  /** For the `Set-Cookie` header. `digest` is that of the token, which a session of the configuration ends with. */
  make(seat: Seat, made: { digest: Buffer; now: Date; secure: boolean }): string;
  /** What the cookie says, believed or not: `isGenuine` tells when the token's digest is known. */
  read(header: string | undefined, now: Date): ReadSession | undefined;
}

interface ReadSession {
  seat: Seat;
  /** Whether we made it, for the token of this digest. */
  isGenuine(digest: Buffer): boolean;
}

/** Where the page came by https: such a name no other host can set, and no page without https. */
const SECURE_NAME = '__Host-lading';
const PLAIN_NAME = 'lading_session';
const SHARED = 'Path=/; HttpOnly; SameSite=Strict';

/**
 * `<seat>.<until>.<HMAC-SHA256(secret, 'session:' + seat + '.' + until + ':' + digest)>`: nothing to store, and the same in
 * every process. A cookie ends with its time, with its token when that is revoked or expires, and when the configuration
 * has another token by the name.
 */
export function createSessionCookies(secret: string): SessionCookies {
  const macOf = (text: string, digest: Buffer) =>
    createHmac('sha256', secret).update(`session:${text}:`).update(digest).digest();
  return {
    make(seat, { digest, now, secure }) {
      const until = Math.floor(now.getTime() / 1_000) + SESSION_SECONDS;
      const text = `${formatSeat(seat)}.${until}`;
      return setCookie(`${text}.${macOf(text, digest).toString('base64url')}`, SESSION_SECONDS, secure);
    },
    read(header, now) {
      const [kind = '', subject = '', until = '', mac = '', ...rest] = (findCookie(header) ?? '').split('.');
      const seat = parseSeat(kind, subject);
      if (seat === undefined || rest.length > 0 || !/^\d{1,12}$/.test(until)) return undefined;
      if (Number(until) * 1_000 <= now.getTime()) return undefined;
      const given = Buffer.from(mac, 'base64url');
      const isGenuine = (digest: Buffer): boolean => {
        const expected = macOf(`${kind}.${subject}.${until}`, digest);
        return given.length === expected.length && timingSafeEqual(given, expected);
      };
      return { seat, isGenuine };
    },
  };
}

/** For the `Set-Cookie` headers: takes the session away, under either name. */
export function endedSession(): string[] {
  return [setCookie('', 0, true), setCookie('', 0, false)];
}

function setCookie(value: string, maxAge: number, secure: boolean): string {
  return `${secure ? SECURE_NAME : PLAIN_NAME}=${value}; Max-Age=${maxAge}; ${SHARED}${secure ? '; Secure' : ''}`;
}

function findCookie(header: string | undefined): string | undefined {
  const pairs = (header ?? '').split(';').map((pair) => pair.trim());
  const values = [SECURE_NAME, PLAIN_NAME].flatMap((name) =>
    pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1)),
  );
  return values[0];
}

/** The digest of a token of the database gives nothing away: it is of 256 random bits. */
function formatSeat(seat: Seat): string {
  return seat.kind === 'configured'
    ? `c.${Buffer.from(seat.name).toString('base64url')}`
    : `d.${seat.digest.toString('base64url')}`;
}

function parseSeat(kind: string, subject: string): Seat | undefined {
  const bytes = Buffer.from(subject, 'base64url');
  if (bytes.length === 0) return undefined;
  if (kind === 'c') return { kind: 'configured', name: bytes.toString() };
  return kind === 'd' && bytes.length === 32 ? { kind: 'made', digest: bytes } : undefined;
}
