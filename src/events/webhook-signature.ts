import { createHmac } from 'node:crypto';

/**
 * The secret of a webhook, told once when it is made: derived, so that it stands in no table, is the same in every process,
 * and a copy of the database signs nothing.
 */
export function webhookSecret(tokenSecret: string, webhookId: string): string {
  return `whsec_${createHmac('sha256', tokenSecret).update(`webhook:${webhookId}`).digest('base64url')}`;
}

/** `t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + '.' + body)>`: the time is signed too, so that old calls cannot be sent again. */
export function signBody(secret: string, body: string, at: Date): string {
  const seconds = Math.floor(at.getTime() / 1_000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}
