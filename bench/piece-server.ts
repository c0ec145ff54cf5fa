// Serves pieces out of a database and a store that bench/piece.ts has filled, in a process of its own to be measured.
import { connect } from '../src/db/connect.ts';
import { loneServer } from './lone-server.ts';

const [url = '', folder = '', secret = ''] = process.argv.slice(2);

const database = connect(url);
const server = await loneServer({ database, folder, secret }, {});
console.log(await server.listen({ host: '127.0.0.1', port: 0 }));
process.once('SIGTERM', () => {
  void server.close().then(() => database[Symbol.asyncDispose]());
});
