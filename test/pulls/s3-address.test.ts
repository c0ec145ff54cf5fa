import { expect, test } from 'vitest';
import { parseS3Address, placeOf, publicUrlOf } from '../../src/pulls/s3-address.ts';
import { parseS3Url } from '../../src/storage/s3-url.ts';

// By the documentation of S3: virtual-hosted style, and path style where the name of the bucket has dots.
test.each([
  ['s3://cars/a.car', 'https://cars.s3.amazonaws.com/a.car'],
  ['s3://cars/a/b.car?region=eu-central-1', 'https://cars.s3.eu-central-1.amazonaws.com/a/b.car'],
  ['s3://my.cars/a.car', 'https://s3.amazonaws.com/my.cars/a.car'],
  ['s3://cars/a%20b%3Fc%25d.car', 'https://cars.s3.amazonaws.com/a%20b%3Fc%25d.car'],
  ['s3://cars/a+b&c=d.car', 'https://cars.s3.amazonaws.com/a%2Bb%26c%3Dd.car'],
  ['s3://cars/a.car?endpoint=https://minio.example.com:9000', 'https://minio.example.com:9000/cars/a.car'],
  ['s3://cars/a.car?endpoint=https%3A%2F%2Fminio.example.com%2F', 'https://minio.example.com/cars/a.car'],
])('%s is read at %s', (text, url) => {
  expect(publicUrlOf(parseS3Address(text))).toBe(url);
});

test.each([
  's3://',
  's3://cars',
  's3://cars/',
  's3://cars/folder/',
  's3://key:secret@cars/a.car',
  's3://cars:9000/a.car',
  's3://CARS_/a.car',
  's3://cars/a.car?versionId=1',
  's3://cars/a%.car',
  // A gateway to a file system may take it for the folder above.
  's3://cars/customers/one/..%2Ftwo/a.car',
  's3://cars/customers/one/x%2F..%2f.%2Ftwo/a.car',
  's3://cars/a.car?endpoint=file:///etc',
  's3://cars/a.car?endpoint=https://user:word@host',
  's3://cars/a.car?endpoint=https://host/path',
  's3://cars/a.car?region=EU',
  'https://cars/a.car',
])('%s is refused', (text) => {
  expect(() => parseS3Address(text)).toThrow(expect.objectContaining({ code: 'URL_REFUSED', retry: 'never' }));
});

test('our credentials read below the places of the configuration, and nowhere else', () => {
  const place = parseS3Url('s3://cars/customers/one?endpoint=https://minio.example.com&region=eu-1');
  const held = (text: string) => placeOf(parseS3Address(text), [place]) === place;
  expect(held('s3://cars/customers/one/a.car')).toBe(true);
  expect(held('s3://cars/customers/one/deep/a.car?endpoint=https://minio.example.com&region=eu-1')).toBe(true);
  expect(held('s3://cars/customers/one.car')).toBe(false);
  expect(held('s3://cars/customers/one/../two/a.car')).toBe(false);
  expect(held('s3://cars/customers/one/%2e%2e/two/a.car')).toBe(false);
  expect(held('s3://other/customers/one/a.car')).toBe(false);
  expect(held('s3://cars/customers/one/a.car?endpoint=https://evil.example.com')).toBe(false);
  expect(held('s3://cars/customers/one/a.car?region=us-east-1')).toBe(false);
});
