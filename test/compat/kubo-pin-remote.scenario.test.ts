import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log/log.ts';
import { startService } from '../../src/service.ts';
import { testDatabase } from '../support/database.ts';
import { findKubo, runOnce } from '../support/ipfs-programs.ts';
import { startKubo, type Kubo } from '../support/kubo.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const binary = findKubo();
const TOKEN = 'an-upload-token';

/** The service with a node of its own, and the node of somebody who pins, which knows none of it. */
async function world(change: (service: Kubo) => Record<string, string> = ({ rpcUrl }) => ({ IPFS_KUBO_URL: rpcUrl })) {
  if (binary === undefined) throw new Error('not to be called');
  const stack = new AsyncDisposableStack();
  const [node, theirs] = [stack.use(await startKubo(binary)), stack.use(await startKubo(binary))];
  const database = stack.use(await testDatabase());
  const folder = stack.use(await temporaryFolder());
  const config = readConfig({
    API_TOKENS: `somebody:upload:${TOKEN}`,
    DATABASE_URL: database.url,
    TOKEN_SECRET: 'a secret of at least 32 characters',
    DATA_DIR: folder.path,
    PORT: '0',
    LADING_PULL_ALLOW: 'all',
    ...change(node),
  });
  const service = stack.use(await startService(config, { log: silentLog, signal: new AbortController().signal }));
  const ipfs = (...args: string[]) => runOnce(theirs.binary, args, { IPFS_PATH: theirs.repo, IPFS_TELEMETRY: 'off' });
  const own = async (cid: string) =>
    (await fetch(`${service.url}/${cid}`, { headers: { authorization: `Bearer ${TOKEN}` } })).json();
  return { node, theirs, url: service.url ?? '', ipfs, own, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function addFile(node: Kubo, bytes: Uint8Array, options = ''): Promise<string> {
  const form = new FormData();
  form.set('file', new Blob([Buffer.from(bytes)]), 'file');
  const answer = await node.rpc(`add?pin=true${options}`, form);
  return (JSON.parse(answer) as { Hash: string }).Hash;
}

describe.skipIf(binary === undefined)('ipfs pin remote of Kubo 0.42', () => {
  test('service add, pin remote add, ls, rm', async () => {
    await using setting = await world();
    const { theirs, url, ipfs, own } = setting;
    await ipfs('pin', 'remote', 'service', 'add', 'lading', url, TOKEN);
    expect(await ipfs('pin', 'remote', 'service', 'ls', '--stat')).toMatch(/lading +\S+ +0\/0\/0\/0/);
    // 3 MB in twelve blocks and two, under both versions of CID.
    const files = [
      await addFile(theirs, randomBytes(3_000_000)),
      await addFile(theirs, randomBytes(300_000), '&cid-version=1'),
    ];
    expect(files.map((cid) => cid.slice(0, 4))).toEqual(['Qm' + files[0]?.slice(2, 4), 'bafy']);
    for (const [at, cid] of files.entries()) {
      const said = await ipfs('pin', 'remote', 'add', '--service=lading', `--name=file ${at}`, cid);
      expect(said).toContain('Status: pinned');
      expect(said).toContain(`Name:   file ${at}`);
      expect(await own(cid)).toMatchObject({ ok: true, value: { cid, pin: { status: 'pinned' } } });
    }
    const listed = (...args: string[]) =>
      ipfs('pin', 'remote', 'ls', '--service=lading', ...args).then((text) => text.trim());
    expect((await listed()).split('\n').toSorted()).toEqual(
      files.map((cid, at) => `${cid}\tpinned\tfile ${at}`).toSorted(),
    );
    expect(await listed('--name=file 1')).toBe(`${files[1]}\tpinned\tfile 1`);
    expect(await listed(`--cid=${files[0]}`)).toBe(`${files[0]}\tpinned\tfile 0`);
    expect(await listed('--status=queued,pinning,failed')).toBe('');
    expect(await ipfs('pin', 'remote', 'service', 'ls', '--stat')).toMatch(/lading +\S+ +0\/0\/2\/0/);
    await ipfs('pin', 'remote', 'rm', '--service=lading', '--name=file 0');
    expect(await listed()).toBe(`${files[1]}\tpinned\tfile 1`);
    expect(await own(files[0] ?? '')).toMatchObject({ ok: false });
    await ipfs('pin', 'remote', 'rm', '--service=lading', `--cid=${files[1]}`);
    expect(await listed()).toBe('');
  });

  test('--background: queued or pinning at once, pinned later; a pin that nobody has can be removed again', async () => {
    await using setting = await world();
    const { theirs, url, ipfs } = setting;
    await ipfs('pin', 'remote', 'service', 'add', 'lading', url, TOKEN);
    const cid = await addFile(theirs, randomBytes(2_000_000));
    expect(await ipfs('pin', 'remote', 'add', '--service=lading', '--background', cid)).toMatch(
      /Status: (queued|pinning|pinned)/,
    );
    const listed = (status: string) => ipfs('pin', 'remote', 'ls', '--service=lading', `--status=${status}`);
    await expect.poll(() => listed('pinned'), { timeout: 30_000 }).toContain(cid);
    const nobodys = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
    await ipfs('pin', 'remote', 'add', '--service=lading', '--background', nobodys);
    expect(await listed('queued,pinning')).toContain(nobodys);
    await ipfs('pin', 'remote', 'rm', '--service=lading', '--status=queued,pinning', `--cid=${nobodys}`);
    expect(await listed('queued,pinning,failed')).toBe('');
  });

  test('a wrong token is told in words', async () => {
    await using setting = await world();
    const { url, ipfs } = setting;
    await ipfs('pin', 'remote', 'service', 'add', 'lading', url, 'not-the-token');
    await expect(ipfs('pin', 'remote', 'ls', '--service=lading')).rejects.toThrow(/UNAUTHORIZED/);
    expect(await ipfs('pin', 'remote', 'service', 'ls', '--stat')).toMatch(/lading +\S+ +invalid/);
  });

  test('from the gateway of a Kubo node, without a node of the service', async () => {
    await using setting = await world(() => ({}));
    const { theirs, url, ipfs } = setting;
    await ipfs('pin', 'remote', 'service', 'add', 'lading', url, TOKEN);
    const cid = await addFile(theirs, randomBytes(1_500_000), '&cid-version=1');
    const origins = [theirs.gatewayUrl];
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const added = await fetch(`${url}/pins`, { method: 'POST', headers, body: JSON.stringify({ cid, origins }) });
    expect(added.status).toBe(202);
    const listed = () => ipfs('pin', 'remote', 'ls', '--service=lading');
    await expect.poll(listed, { timeout: 30_000 }).toContain(cid);
  });
});
