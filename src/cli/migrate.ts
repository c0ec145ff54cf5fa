import { parseCommand, type Command } from './command.ts';
import { withDatabase } from './database.ts';

const usage = 'migrate';

export const migrate: Command = {
  usage,
  summary: 'bring the database to this version of the schema, and say which',
  async run(args, io) {
    parseCommand(args, usage, {});
    const names = await withDatabase(io, async ({ pool }) => {
      const { rows } = await pool.query<{ name: string }>('select name from schema_migrations order by version');
      return rows.map(({ name }) => name);
    });
    io.print(`the database is at migration ${names.length} (${names.at(-1) ?? 'none'})`);
    return 0;
  },
};
