import { sql, type Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import type { DB } from '../../db/tables.ts';
import { BadInput } from '../../errors.ts';
import type { Missing } from './dag-tracker.ts';

/** What one statement follows: a second or so, far below the limit of a statement, and little memory of the database. */
const AT_ONCE = 50_000;
/** Blocks whose links one step reads; with as many links as above at most. */
const STEP_BLOCKS = 5_000;
/** Minutes of small statements: a chain of so many levels, or half a billion blocks. Who sends it all at once is not held up. */
const MAX_STEPS = 100_000;

/** `atOnce`: blocks that one statement may go through. `maxSteps`: such statements. */
interface FollowOptions {
  atOnce?: number;
  maxSteps?: number;
}

/**
 * Follows links from the root and from wanted blocks that have come, through blocks not reached before: over all parts
 * of an upload each block is followed once. Answers what is still missing; undefined when the DAG is complete. Throws
 * `DAG_TOO_DEEP`.
 */
export async function followLinks(
  trx: Kysely<DB>,
  upload: { id: bigint; root: string },
  { atOnce = AT_ONCE, maxSteps = MAX_STEPS }: FollowOptions = {},
): Promise<Missing | undefined> {
  if (!(await followAtOnce(trx, upload, atOnce))) await followInSteps(trx, upload, { atOnce, maxSteps });
  return findMissing(trx, upload.id);
}

/** One statement, however deep the DAG is; false, and nothing was done, when there is too much for one. */
async function followAtOnce(trx: Kysely<DB>, { id, root }: { id: bigint; root: string }, atOnce: number) {
  const rootKey = Buffer.from(CID.parse(root).bytes);
  // A new table has no statistics. The laterals (`offset 0` keeps them whole) and the array make sure that blocks are
  // looked up one by one in the index, however many there are and however deep the DAG is.
  const { rows } = await sql<{ whole: boolean }>`
    with recursive found (cid) as (
      (select b.cid from part_blocks b where b.upload_id = ${id} and b.cid = ${rootKey} and not b.reached
       union
       (select w.cid from wanted_blocks w where w.upload_id = ${id} and w.came limit ${atOnce + 1}))
      union
      select link from found f
      cross join lateral (
        select b.links from part_blocks b
        where b.upload_id = ${id} and b.cid = f.cid and not b.reached offset 0) as node
      cross join lateral unnest(node.links) as link
    ), numbered as materialized (
      select f.cid, f.place, node.held is not null as held
      from (select cid, row_number() over () as place from (select cid from found limit ${atOnce + 1}) first) f
      left join lateral (
        select true as held from part_blocks b where b.upload_id = ${id} and b.cid = f.cid offset 0) as node on true
    ), told as materialized (
      select count(*) <= ${atOnce} as whole from numbered
    ), reach as (
      update part_blocks b set reached = true
      where b.upload_id = ${id} and not b.reached and (select whole from told)
        and b.cid = any(array(select n.cid from numbered n where n.held))
    ), came as (
      delete from wanted_blocks w where w.upload_id = ${id} and w.came and (select whole from told)
    ), wanted as (
      insert into wanted_blocks (upload_id, cid)
      select ${id}, cid from numbered where not held and (select whole from told) order by place on conflict do nothing
    )
    select whole from told`.execute(trx);
  return rows[0]?.whole === true;
}

/** Level by level, as much as one statement takes. Blocks are marked as reached when they get into the queue. */
async function followInSteps(
  trx: Kysely<DB>,
  upload: { id: bigint; root: string },
  { atOnce, maxSteps }: Required<FollowOptions>,
): Promise<void> {
  await sql`create temp table link_queue (n bigint generated always as identity primary key, cid bytea not null)
    on commit drop`.execute(trx);
  await queueRoot(trx, upload);
  await queueWhatCame(trx, upload.id, atOnce);
  let last = 0n;
  for (let steps = 0; ; steps += 1) {
    if (steps >= maxSteps) throw tooDeep(maxSteps);
    const reached = await followStep(trx, upload.id, { after: last, atOnce });
    if (reached === null) break;
    last = reached;
  }
  await sql`drop table link_queue`.execute(trx);
}

async function queueRoot(trx: Kysely<DB>, { id, root }: { id: bigint; root: string }): Promise<void> {
  await sql`
    with reach as (
      update part_blocks set reached = true
      where upload_id = ${id} and cid = ${Buffer.from(CID.parse(root).bytes)} and not reached returning cid)
    insert into link_queue (cid) select cid from reach`.execute(trx);
}

async function queueWhatCame(trx: Kysely<DB>, id: bigint, atOnce: number): Promise<void> {
  let after: bigint | null = 0n;
  while (after !== null) {
    // The cast keeps off the index of what came, in which each batch would step over what the ones before it deleted.
    const { rows } = await sql<{ last: bigint | null }>`
      with batch as materialized (
        select id, cid from wanted_blocks
        where upload_id = ${id} and id > ${after} and came::integer = 1 order by id limit ${atOnce}
      ), came as (
        delete from wanted_blocks where upload_id = ${id} and cid = any(array(select cid from batch))
      ), reach as (
        update part_blocks set reached = true where upload_id = ${id} and cid = any(array(select cid from batch))
      ), queued as (
        insert into link_queue (cid) select cid from batch order by id
      )
      select max(id) as last from batch`.execute(trx);
    after = rows[0]?.last ?? null;
  }
}

/** Where in the queue the next step begins; null at its end. */
async function followStep(
  trx: Kysely<DB>,
  id: bigint,
  { after, atOnce }: { after: bigint; atOnce: number },
): Promise<bigint | null> {
  const { rows } = await sql<{ last: bigint | null }>`
    with node as materialized (
      select q.n, block.links, sum(cardinality(block.links)) over (order by q.n) as upto
      from (select n, cid from link_queue where n > ${after} order by n limit ${Math.min(STEP_BLOCKS, atOnce)}) q
      cross join lateral (
        select b.links from part_blocks b where b.upload_id = ${id} and b.cid = q.cid offset 0) as block
    ), taken as materialized (
      select n, links from node where upto <= ${atOnce} or n = (select min(n) from node)
    ), linked as materialized (
      select cid, min(place) as place
      from (select link as cid, row_number() over (order by t.n, l.nth) as place
        from taken t cross join lateral unnest(t.links) with ordinality as l (link, nth)) as each_link
      group by cid
    ), known as materialized (
      select l.cid, l.place, block.reached, block.leads_on
      from linked l left join lateral (
        select b.reached, cardinality(b.links) > 0 as leads_on
        from part_blocks b where b.upload_id = ${id} and b.cid = l.cid offset 0) as block on true
    ), reach as (
      update part_blocks b set reached = true
      where b.upload_id = ${id} and b.cid = any(array(select cid from known where reached is false))
    ), queued as (
      insert into link_queue (cid) select cid from known where reached is false and leads_on order by place
    ), wanted as (
      insert into wanted_blocks (upload_id, cid)
      select ${id}, cid from known where reached is null order by place on conflict do nothing
    )
    select max(n) as last from taken`.execute(trx);
  return rows[0]?.last ?? null;
}

function tooDeep(maxSteps: number): BadInput {
  const message = `the links go through more than ${maxSteps} levels or too many blocks: send the upload as one complete CAR`;
  return new BadInput('DAG_TOO_DEEP', message, { details: { maxSteps } });
}

async function findMissing(trx: Kysely<DB>, uploadId: bigint): Promise<Missing | undefined> {
  const wanted = trx.selectFrom('wanted_blocks').where('upload_id', '=', uploadId);
  const first = await wanted.select('cid').orderBy('id').limit(1).executeTakeFirst();
  if (first === undefined) return undefined;
  const { count } = await wanted.select((eb) => eb.fn.countAll<bigint>().as('count')).executeTakeFirstOrThrow();
  return { count: Number(count), first: CID.decode(first.cid).toString() };
}
