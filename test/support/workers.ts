/** Test files that run at once: as many as the smallest machine has cores; more would only wait for each other. */
export const WORKERS = 2;
