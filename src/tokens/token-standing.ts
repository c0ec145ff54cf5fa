import type { Token } from './token-store.ts';

interface At {
  now: Date;
  /** Names that the configuration gives out. */
  configuredNames: readonly string[];
}

type Standing = 'active' | 'expired' | 'revoked' | 'shadowed';

/** Pure: whether a token of the database opens anything. */
export function standingOf({ name, expiresAt, revokedAt }: Token, { now, configuredNames }: At): Standing {
  if (revokedAt !== undefined) return 'revoked';
  if (expiresAt !== undefined && expiresAt <= now) return 'expired';
  return configuredNames.includes(name) ? 'shadowed' : 'active';
}
