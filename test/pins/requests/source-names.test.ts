import { expect, test } from 'vitest';
import type { Fetcher } from '../../../src/outgoing/fetcher.ts';
import { gatewaySource } from '../../../src/pins/requests/block-source.ts';

test('a gateway is named, to whoever asked for a pin, by where it is: the rest of its address may be a key', () => {
  const fetcher = {} as Fetcher;
  expect(gatewaySource(fetcher, 'https://gateway.example.com:8443/key-of-ours').name).toBe(
    'https://gateway.example.com:8443',
  );
});
