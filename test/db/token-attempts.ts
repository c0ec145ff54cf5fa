import { valid, type Attempt } from './valid-rows.ts';

export const tokenAttempts: Attempt[] = [
  ['tokens_name_plain', 'tokens', { name: '' }],
  ['tokens_name_plain', 'tokens', { name: 'cli:root' }],
  ['tokens_name_plain', 'tokens', { name: 'two\nlines' }],
  ['tokens_name_plain', 'tokens', { name: 'a'.repeat(65) }],
  ['tokens_digest_is_sha256', 'tokens', { digest: Buffer.alloc(31) }],
  ['tokens_digest_unique', 'tokens', { name: 'other' }, [['tokens', {}]]],
  ['tokens_name_not_revoked', 'tokens', { digest: Buffer.alloc(32, 1) }, [['tokens', {}]]],
  ['tokens_created_by_given', 'tokens', { created_by: '' }],
  ['tokens_expires_later', 'tokens', { expires_at: valid.tokens.created_at }],
  ['tokens_revoked_by_somebody', 'tokens', { revoked_at: valid.tokens.created_at }],
  ['tokens_revoked_by_somebody', 'tokens', { revoked_by: 'somebody' }],
];
