import pg from 'pg';

const UNIQUE_VIOLATION = '23505';
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK_DETECTED = '40P01';

/** A fault that PostgreSQL itself reported, also where a wrapper holds it as its cause. */
function databaseError(error: unknown): pg.DatabaseError | undefined {
  if (error instanceof pg.DatabaseError) return error;
  return error instanceof Error && error.cause !== undefined ? databaseError(error.cause) : undefined;
}

/** The five characters of SQLSTATE, or undefined for a fault that is not the database's. */
export function sqlStateOf(error: unknown): string | undefined {
  return databaseError(error)?.code;
}

/** The name of the constraint (or unique index, or event law) that refused. */
export function constraintOf(error: unknown): string | undefined {
  return databaseError(error)?.constraint;
}

/** Does a row with this key exist already? With `constraint`: by that very constraint or unique index. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return sqlStateOf(error) === UNIQUE_VIOLATION && (constraint === undefined || constraintOf(error) === constraint);
}

/** Would the same transaction, run again, have a fair chance? Deadlocks count: one of the two was picked to go again. */
export function isSerializationFailure(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === SERIALIZATION_FAILURE || state === DEADLOCK_DETECTED;
}
