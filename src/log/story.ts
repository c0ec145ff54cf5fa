import { AsyncLocalStorage } from 'node:async_hooks';

type Fields = Record<string, unknown>;

/** What a request or a job is, and did, in the log. */
export interface Story {
  /** Stand in each line that is logged within it: `requestId`, `jobId`, `aggregateId`. */
  readonly ids: Fields;
  /** Stand in its own closing line alone. */
  readonly notes: Fields;
}

const stories = new AsyncLocalStorage<Story>();

/** More changes than this are only counted. */
const MAX_CHANGES = 10;

export function openStory(ids: Fields): Story {
  return { ids, notes: {} };
}

/** Runs `act`, and all that it starts, within the story. Answers what the act answers. */
export function within<T>(story: Story, act: () => T): T {
  return stories.run(story, act);
}

/** The ids of the story that runs; none outside of one. */
export function storyIds(): Fields {
  return stories.getStore()?.ids ?? {};
}

/** Adds to the closing line of the request or job that runs; outside of one to nothing. */
export function note(fields: Fields): void {
  const story = stories.getStore();
  if (story !== undefined) Object.assign(story.notes, fields);
}

/** Adds a change of state to the closing line, such as `deal 0f… sent→accepted`. */
export function noteChange(change: string): void {
  const notes = stories.getStore()?.notes;
  if (notes === undefined) return;
  const changes = (notes['changes'] ??= []) as string[];
  if (changes.length < MAX_CHANGES) changes.push(change);
  else notes['moreChanges'] = Number(notes['moreChanges'] ?? 0) + 1;
}
