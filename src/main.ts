import process from 'node:process';
import type { Command } from './cli/command.ts';
import type { Io } from './terminal.ts';
import { describeError, LadingError } from './errors.ts';

/** Loaded when called, so that `lading commp` does not wait for libp2p and PostgreSQL. */
const commands: Record<string, () => Promise<Command>> = {
  serve: async () => (await import('./cli/serve.ts')).serve,
  demo: async () => (await import('./cli/demo.ts')).demo,
  devnet: async () => (await import('./cli/devnet.ts')).devnet,
  migrate: async () => (await import('./cli/migrate.ts')).migrate,
  doctor: async () => (await import('./cli/doctor.ts')).doctor,
  upload: async () => (await import('./cli/upload.ts')).upload,
  status: async () => (await import('./cli/status.ts')).status,
  events: async () => (await import('./cli/events.ts')).events,
  verify: async () => (await import('./cli/verify.ts')).verify,
  commp: async () => (await import('./cli/commp.ts')).commp,
  provider: async () => (await import('./cli/provider.ts')).provider,
  policy: async () => (await import('./cli/policy.ts')).policy,
  proposing: async () => (await import('./cli/proposing.ts')).proposing,
  job: async () => (await import('./cli/job.ts')).job,
  'dead-letter': async () => (await import('./cli/dead-letter.ts')).deadLetter,
  deal: async () => (await import('./cli/deal.ts')).deal,
  aggregate: async () => (await import('./cli/aggregate.ts')).aggregate,
  wallet: async () => (await import('./cli/wallet.ts')).wallet,
  token: async () => (await import('./cli/token.ts')).token,
};

async function help(io: Io): Promise<number> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  io.print('lading: a Filecoin deal aggregator\n');
  for (const { usage, summary } of all) io.print(`  lading ${usage}\n      ${summary}`);
  io.print('\nConfiguration is by environment variables: docs/operating.md');
  return 0;
}

async function run(name: string | undefined, args: string[], io: Io): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return help(io);
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    io.say(`lading: there is no command '${name}'; see lading help`);
    return 2;
  }
  const command = await load();
  if (args.includes('--help')) {
    io.print(`lading ${command.usage}\n\n${command.summary}`);
    return 0;
  }
  return (await command.run(args, io)) ?? 0;
}

/** Aborted by SIGINT, SIGTERM, or when the process that stands in for us (scripts/run.js) is gone. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => controller.abort(name));
  if (process.connected) {
    process.on('disconnect', () => controller.abort('disconnect'));
    // The channel only tells of the parent's end: it must not keep a finished command alive.
    process.channel?.unref();
  }
  return controller.signal;
}

/** Whoever reads our output may stop early (`| head`): that is no fault, and no reason for a service to end. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}

outliveReaders();
const io: Io = {
  env: process.env,
  print: (line) => process.stdout.write(`${line}\n`),
  say: (line) => process.stderr.write(`${line}\n`),
  isTerminal: process.stdout.isTTY,
  // A getter: to touch standard input opens it, and most commands have no use for it.
  get input() {
    return process.stdin;
  },
  signal: stopSignal(),
};

try {
  process.exitCode = await run(process.argv[2], process.argv.slice(3), io);
} catch (error) {
  io.say(`lading: ${describeError(error)}`);
  if (!(error instanceof LadingError) && error instanceof Error) io.say(error.stack ?? '');
  process.exitCode = error instanceof LadingError && error.code === 'USAGE' ? 2 : 1;
}
