import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startWorld } from '../scenario/world.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { ServiceProcess } from '../support/service-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { installPacked, nodesAtHand, readmeLines } from './packed-client.ts';

const run = promisify(execFile);
const UPLOAD_TOKEN = 'upload-token-of-the-test';

test('the ten lines of the README do what they say, from the packed package, on every Node at hand', async () => {
  await using folder = await temporaryFolder();
  await using world = await startWorld(folder.path, 'the client');
  const service = new ServiceProcess(world.env);
  await service.start();
  try {
    await world.prepare();
    const stranger = join(folder.path, 'stranger');
    await mkdir(stranger);
    await installPacked(stranger);
    await writeFile(join(stranger, 'ten-lines.js'), await readmeLines());
    const env = { LADING_URL: `http://127.0.0.1:${world.env['PORT']}`, LADING_TOKEN: UPLOAD_TOKEN };
    const programs = (await nodesAtHand()).map(async ({ name, path }) => {
      const cwd = join(stranger, name);
      await mkdir(cwd);
      const sample = sampleUpload(name, 40);
      await writeFile(join(cwd, 'photos.car'), sample.car);
      const { stdout } = await run(path, ['../ten-lines.js'], { cwd, env, timeout: 120_000 });
      return { stdout, root: sample.root.toString(), bytes: sample.car.length };
    });
    for (const { stdout, root, bytes } of await Promise.all(programs)) {
      expect(stdout).toContain(`${bytes} bytes`);
      expect(stdout).toMatch(/deal active f0\d+/);
      expect(stdout).toMatch(/status: 'active'/);
      expect(stdout).toContain('verified: true');
      expect(stdout).toContain(`root: '${root}'`);
    }
  } catch (error) {
    throw new Error(`${String(error)}\n${service.log}`, { cause: error });
  } finally {
    await service.stop();
  }
});
