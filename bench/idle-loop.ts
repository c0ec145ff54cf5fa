import { monitorEventLoopDelay } from 'node:perf_hooks';

/** An event loop that does nothing: how long it is held is what the machine does, at the time of the bench itself. */
const delay = monitorEventLoopDelay({ resolution: 1 });
process.on('message', (request) => {
  if (request === 'ping') {
    process.send?.('pong');
    return;
  }
  if (request === 'start') {
    delay.reset();
    delay.enable();
    process.send?.('started');
    return;
  }
  delay.disable();
  process.send?.({ p99: delay.percentile(99), max: delay.max });
});
process.on('disconnect', () => process.exit());
