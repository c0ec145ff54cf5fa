import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ACCESS, canReach, chooseUser, ensureOwnFolder, isRoot, parsePasswd, userOf } from '../../src/db/os-user.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const PASSWD = `root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin
# a comment
postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash
`;
const stranger = { name: 'stranger', uid: 54_321, gid: 54_321 };

describe('chooseUser', () => {
  it('is postgres for root, nobody where there is none, and ourselves for everyone else', () => {
    const withoutPostgres = PASSWD.replace('postgres:', 'pg:');
    expect(chooseUser(PASSWD)).toEqual(isRoot() ? { name: 'postgres', uid: 101, gid: 104 } : undefined);
    expect(chooseUser(withoutPostgres)).toEqual(isRoot() ? { name: 'nobody', uid: 65_534, gid: 65_533 } : undefined);
  });

  it('skips lines that name nobody', () => {
    expect(parsePasswd(PASSWD).map(({ name }) => name)).toEqual(['root', 'nobody', 'postgres']);
  });

  it('finds the name of an owner, also where the system has none', () => {
    expect(userOf({ uid: 101, gid: 5 }, PASSWD)).toEqual({ name: 'postgres', uid: 101, gid: 5 });
    expect(userOf({ uid: 7, gid: 8 }, PASSWD).name).toBe('uid 7');
  });
});

describe('canReach', () => {
  it('looks at the file and at every folder above it', async () => {
    await using folder = await temporaryFolder();
    await chmod(folder.path, 0o755);
    const home = join(folder.path, 'home');
    await mkdir(join(home, 'bin'), { recursive: true });
    const file = join(home, 'bin', 'postgres');
    await writeFile(file, '', { mode: 0o755 });
    expect(await canReach(file, stranger)).toBe(true);
    await chmod(home, 0o700);
    expect(await canReach(file, stranger)).toBe(false);
    await chmod(home, 0o711);
    expect(await canReach(file, stranger)).toBe(true);
    expect(await canReach(home, stranger)).toBe(false);
    expect(await canReach(home, stranger, ACCESS.pass)).toBe(true);
    await chmod(file, 0o700);
    expect(await canReach(file, stranger)).toBe(false);
    expect(await canReach(file, undefined)).toBe(true);
  });
});

describe('ensureOwnFolder', () => {
  it('makes a folder, takes its own again, and refuses one that others may write to', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'a', 'b');
    await ensureOwnFolder(path);
    await ensureOwnFolder(path);
    await chmod(path, 0o777);
    await expect(ensureOwnFolder(path)).rejects.toMatchObject({ code: 'FOLDER_NOT_OURS' });
  });
});
