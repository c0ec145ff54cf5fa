import { expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { parseS3Url } from '../../src/storage/s3-url.ts';

test.each([
  ['s3://bucket', { bucket: 'bucket', prefix: '', endpoint: undefined, region: undefined }],
  ['s3://bucket/?region=eu-central-1', { bucket: 'bucket', prefix: '', endpoint: undefined, region: 'eu-central-1' }],
  [
    's3://my.bucket-1/a/B_2?endpoint=http://127.0.0.1:7070/',
    { bucket: 'my.bucket-1', prefix: 'a/B_2', endpoint: 'http://127.0.0.1:7070', region: 'us-east-1' },
  ],
  [
    's3://bucket/a/?endpoint=https%3A%2F%2Fs3.example.com&region=auto',
    { bucket: 'bucket', prefix: 'a', endpoint: 'https://s3.example.com', region: 'auto' },
  ],
])('%s', (text, place) => {
  expect(parseS3Url(text)).toEqual(place);
});

const SECRET = 'wJalrXUtnFEMI';

test.each([
  's3://',
  's3://b',
  's3://UPPER/x',
  's3://bucket/a//b',
  's3://bucket/a/../b%2F',
  's3://bucket/a b',
  `s3://key:${SECRET}@bucket/a`,
  `s3://bucket/a?secret=${SECRET}`,
  `s3://bucket/a?region=eu west ${SECRET}`,
  `s3://bucket/a?endpoint=${SECRET}`,
  `s3://bucket/a?endpoint=https://key:${SECRET}@host`,
  `s3://bucket/a?endpoint=ftp://${SECRET}`,
  `s3://bucket/a#${SECRET}`,
  `s3:${SECRET}`,
])('%s is refused, and not repeated', (text) => {
  expect(() => parseS3Url(text)).toThrow(/form|credentials|prefix|endpoint|region/);
  let shown = '';
  try {
    readConfig({ STORE_URL: text, API_TOKENS: 'a:ops:long-enough' });
  } catch (error) {
    shown = String(error);
  }
  expect(shown).toContain('STORE_URL');
  expect(shown).not.toContain(SECRET);
});

test('the configuration takes a bucket for a store', () => {
  const storeUrl = 's3://bucket/prefix?endpoint=https://s3.example.com&region=eu-west-1';
  expect(readConfig({ STORE_URL: storeUrl, API_TOKENS: 'a:ops:long-enough' }).storeUrl).toBe(storeUrl);
});
