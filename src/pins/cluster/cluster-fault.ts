import { LadingError } from '../../errors.ts';

/** The cluster does not answer, or not us: nothing can be known of any pin until it does. */
export class ClusterUnreachable extends LadingError {
  override readonly name = 'ClusterUnreachable';

  constructor(message: string, cause?: unknown) {
    super('PIN_CLUSTER_UNREACHABLE', message, { retry: 'later', cause });
  }
}

/** The cluster answered, and refused this one thing. */
export class ClusterRefused extends LadingError {
  override readonly name = 'ClusterRefused';
  readonly status: number;

  constructor(status: number, message: string) {
    super('PIN_CLUSTER_REFUSED', message, { retry: 'later' });
    this.status = status;
  }
}
