/** Why what a provider serves under a piece CID is not taken. */
export type PieceFault =
  | 'not_served'
  | 'private_address'
  | 'unreachable'
  | 'no_such_piece'
  | 'refused'
  | 'redirected'
  | 'no_ranges'
  | 'wrong_size'
  | 'bad_answer'
  | 'truncated'
  | 'too_slow'
  | 'wrong_piece';

/** Says nothing of our own store or database: the next provider may serve what this one does not. */
export class PieceRefused extends Error {
  override readonly name = 'PieceRefused';
  readonly fault: PieceFault;

  constructor(fault: PieceFault, message: string, options?: ErrorOptions) {
    super(`${fault}: ${message}`, options);
    this.fault = fault;
  }
}
