import { describe, expect, it } from 'vitest';
import { judgeServer, type Processes } from '../../src/db/find-server.ts';
import { parsePostmasterFile } from '../../src/db/postmaster.ts';
import { commandLine, processIdentity } from '../../src/db/process-identity.ts';

const DATA = '/srv/lading/data/postgres';
const FILE = `4711\n${DATA}\n1732428392\n42561\n\n127.0.0.1\n  5432001        17\nready   \n`;

/** The processes of a machine: pid → when it started and how it was called. */
function machine(processes: Record<number, { identity: string; called?: string }>): Processes {
  return {
    identity: (pid) => processes[pid]?.identity,
    commandLine: (pid) => processes[pid]?.called,
  };
}

const called = `/opt/native/bin/postgres -D ${DATA} -c fsync=on -c lading.owner=99-1234 -c port=42561`;

describe('judgeServer', () => {
  it.each([
    ['the server is gone', {}, { kind: 'none' }],
    ['its starter lives', { 4711: { identity: '5', called }, 99: { identity: '1234' } }, { kind: 'owned', pid: 99 }],
    ['its starter is gone', { 4711: { identity: '5', called } }, { kind: 'orphan', pid: 4711 }],
    [
      "its starter's number is another process now",
      { 4711: { identity: '5', called }, 99: { identity: '8888' } },
      { kind: 'orphan', pid: 4711 },
    ],
    ['another program has its number', { 4711: { identity: '5', called: 'sleep 60' } }, { kind: 'stale', text: FILE }],
    [
      'the PostgreSQL of another folder has its number',
      { 4711: { identity: '5', called: `postgres -D ${DATA}2 -c x=y` } },
      { kind: 'stale', text: FILE },
    ],
    [
      'it was started by hand',
      { 4711: { identity: '5', called: `postgres -D ${DATA}` } },
      { kind: 'owned', pid: 4711 },
    ],
    ['the system does not tell what it is', { 4711: { identity: '5' } }, { kind: 'owned', pid: 4711 }],
  ] as const)('when %s', (_, processes, expected) => {
    expect(judgeServer(FILE, DATA, machine(processes))).toEqual(expected);
  });

  it('takes a file that no server wrote for stale', () => {
    expect(judgeServer('', DATA, machine({}))).toEqual({ kind: 'stale', text: '' });
    expect(judgeServer('hello', DATA, machine({}))).toEqual({ kind: 'stale', text: 'hello' });
  });
});

describe('parsePostmasterFile', () => {
  it('reads who runs where, and whether it takes connections', () => {
    expect(parsePostmasterFile(FILE)).toEqual({ pid: 4711, dataDir: DATA, port: 42561, ready: true });
    expect(parsePostmasterFile(FILE.replace('ready', 'starting'))?.ready).toBe(false);
    expect(parsePostmasterFile(`4711\n${DATA}\n`)?.ready).toBe(false);
  });
});

describe('processIdentity', () => {
  it('is the same for a process each time, and nothing for a number without one', () => {
    expect(processIdentity(process.pid)).toMatch(/^\w+$/);
    expect(processIdentity(process.pid)).toBe(processIdentity(process.pid));
    expect(processIdentity(process.pid)).not.toBe(processIdentity(process.ppid));
    // The largest number that Linux gives is 2^22.
    expect(processIdentity(2 ** 22 + 1)).toBeUndefined();
  });

  it('tells what a process was called with', () => {
    expect(commandLine(process.pid)).toContain('node');
  });
});
