import * as fc from 'fast-check';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/connect.ts';
import { testDatabase } from '../support/database.ts';
import { insert } from './valid-rows.ts';

/** One transaction on a connection of its own, that a test moves step by step. */
class Writer {
  readonly #client: pg.PoolClient;

  private constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  static async begin(db: Database): Promise<Writer> {
    const client = await db.pool.connect();
    await client.query('begin');
    return new Writer(client);
  }

  /** Makes the transaction older than all that write later, without an event yet. */
  async touch(): Promise<void> {
    await this.#client.query('select pg_current_xact_id()');
  }

  async write(label: string): Promise<void> {
    await insert(this.#client, 'events', { detail: label });
  }

  async end(how: 'commit' | 'rollback'): Promise<void> {
    await this.#client.query(how);
    this.#client.release();
  }
}

/** A consumer that remembers how far it has come, as documented on the view. */
class Reader {
  readonly seen: string[] = [];
  readonly #db: Database;
  #cursor = ['0', '0'];

  constructor(db: Database) {
    this.#db = db;
  }

  /** Reads until it has seen so many: transactions of other tests on the same server hold events back for a moment. */
  async readUntil(count: number): Promise<void> {
    await expect
      .poll(
        async () => {
          await this.read();
          return this.seen.length;
        },
        { timeout: 10_000 },
      )
      .toBeGreaterThanOrEqual(count);
  }

  async read(): Promise<void> {
    const { rows } = await this.#db.pool.query<{ xid: string; position: bigint; detail: string }>(
      `select xid, position, detail from outbox where (xid, position) > ($1::xid8, $2::bigint) order by xid, position`,
      this.#cursor,
    );
    for (const { xid, position, detail } of rows) {
      this.seen.push(detail);
      this.#cursor = [xid, position.toString()];
    }
  }
}

async function withUpload(): Promise<Database> {
  const db = await testDatabase();
  const client = await db.pool.connect();
  await insert(client, 'uploads');
  client.release();
  return db;
}

describe('the outbox', () => {
  it('holds back what committed while an older transaction is open, and then hands out both', async () => {
    await using db = await withUpload();
    const reader = new Reader(db);
    const older = await Writer.begin(db);
    const younger = await Writer.begin(db);
    await older.write('older');
    await younger.write('younger');
    await younger.end('commit');
    await reader.read();
    expect(reader.seen).toEqual([]);
    await older.end('commit');
    await reader.readUntil(2);
    expect(reader.seen).toEqual(['older', 'younger']);
  });

  it('does not lose the event of a younger transaction that took a lower position and commits later', async () => {
    await using db = await withUpload();
    const reader = new Reader(db);
    const older = await Writer.begin(db);
    const younger = await Writer.begin(db);
    await older.touch();
    await younger.write('lower position');
    await older.write('higher position');
    await older.end('commit');
    await reader.readUntil(1);
    expect(reader.seen).toEqual(['higher position']);
    await younger.end('commit');
    await reader.readUntil(2);
    expect(reader.seen).toEqual(['higher position', 'lower position']);
  });

  it('waits for no transaction that was rolled back', async () => {
    await using db = await withUpload();
    const reader = new Reader(db);
    const lost = await Writer.begin(db);
    await lost.write('lost');
    await lost.end('rollback');
    const kept = await Writer.begin(db);
    await kept.write('kept');
    await kept.end('commit');
    await reader.readUntil(1);
    expect(reader.seen).toEqual(['kept']);
  });

  it('gives every committed event once, however transactions interleave', async () => {
    await using db = await withUpload();
    const slots = 3;
    const step = fc.record({
      slot: fc.nat(slots - 1),
      act: fc.constantFrom('touch', 'write', 'write', 'commit', 'commit', 'rollback', 'read', 'read'),
    });
    let round = 0;
    let total = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const base = `${(round += 1)}`;
        const reader = new Reader(db);
        const writers = new Map<number, { writer: Writer; labels: string[] }>();
        const committed: string[] = [];
        const end = async (slot: number, how: 'commit' | 'rollback') => {
          const open = writers.get(slot);
          if (open === undefined) return;
          writers.delete(slot);
          await open.writer.end(how);
          if (how === 'commit') committed.push(...open.labels);
        };
        for (const [at, { slot, act }] of steps.entries()) {
          if (act === 'read') await reader.read();
          else if (act === 'commit' || act === 'rollback') await end(slot, act);
          else {
            const open = writers.get(slot) ?? { writer: await Writer.begin(db), labels: [] };
            writers.set(slot, open);
            if (act === 'touch') await open.writer.touch();
            else {
              await open.writer.write(`${base}/${at}`);
              open.labels.push(`${base}/${at}`);
            }
          }
        }
        for (const slot of writers.keys()) await end(slot, slot % 2 === 0 ? 'commit' : 'rollback');
        total += committed.length;
        await reader.readUntil(total);
        const seen = reader.seen.filter((label) => label.startsWith(`${base}/`));
        expect(seen.sort()).toEqual(committed.sort());
      }),
      { numRuns: 60, seed: 20_260_102 },
    );
  });
});
