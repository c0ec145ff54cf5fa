import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';

const uuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const tokens = createPieceTokens('a secret of at least 32 characters');

describe('piece tokens', () => {
  it('are the uuid and its HMAC', () => {
    const mac = createHmac('sha256', 'a secret of at least 32 characters').update(`piece:${uuid}`).digest('base64url');
    expect(tokens.tokenFor(uuid)).toBe(`${uuid}.${mac}`);
  });

  it('verify to the uuid, in every process with the same secret', () => {
    expect(createPieceTokens('a secret of at least 32 characters').verify(tokens.tokenFor(uuid))).toBe(uuid);
  });

  it('are refused when anything is changed', () => {
    const token = tokens.tokenFor(uuid);
    const other = token.replace('6ba7b810', '6ba7b811');
    const bad = ['', '.', uuid, `${uuid}.`, token.slice(0, -1), `${token}A`, `${token}.x`, other, token.toUpperCase()];
    expect(bad.map((text) => tokens.verify(text))).toEqual(bad.map(() => undefined));
    expect(createPieceTokens('another secret of 32 characters!!').verify(token)).toBeUndefined();
  });

  it('are refused for other spellings of the last character that decode to the same bytes', () => {
    const token = tokens.tokenFor(uuid);
    const same = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      .split('')
      .map((last) => token.slice(0, -1) + last)
      .filter((spelling) => tokens.verify(spelling) !== undefined);
    expect(same).toEqual([token]);
  });
});
