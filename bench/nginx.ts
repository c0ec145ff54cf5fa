import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Nginx extends AsyncDisposable {
  url: string;
  pid: number;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  return address.port;
}

/** One process, as it comes but for its folders: sendfile on. */
function configOf(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/nginx-${name};`,
  );
  return `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
events { worker_connections 64; }
http { ${temporary.join(' ')} access_log off; sendfile on; tcp_nopush on; server { listen 127.0.0.1:${port}; root ${folder}; } }
`;
}

/** The web server that NGINX_PATH names, else of PATH, on a folder; undefined where there is none. */
export async function startNginx(folder: string): Promise<Nginx | undefined> {
  const program = process.env['NGINX_PATH'] ?? 'nginx';
  if (spawnSync(program, ['-v']).error !== undefined) return undefined;
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  await writeFile(config, configOf(folder, port));
  const child = spawn(program, ['-c', config, '-e', 'stderr', '-p', folder], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries += 1) {
    if (
      await fetch(`${url}/nginx.conf`).then(
        () => true,
        () => false,
      )
    )
      break;
    await sleep(50);
  }
  if (child.pid === undefined || child.exitCode !== null) throw new Error('nginx did not start');
  return {
    url,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGQUIT');
      await ended;
    },
  };
}
