import type { Parcel } from './send-upload.ts';

/** What was dropped: each file is a parcel, and each folder one with all that lies in it. */
export async function gatherDropped(items: DataTransferItemList): Promise<Parcel[]> {
  // Taken now: after the event the list is empty.
  const dropped = [...items].flatMap((item) => take(item) ?? []);
  return Promise.all(dropped);
}

/** What is of no file system, as a picture of a page, has no entry. */
function take(item: DataTransferItem): Promise<Parcel> | undefined {
  const entry = item.webkitGetAsEntry();
  if (entry !== null) return parcelOf(entry);
  const file = item.getAsFile();
  if (file === null) return undefined;
  return Promise.resolve({ name: file.name, files: [{ path: file.name, file }], isFolder: false });
}

export function gatherChosen(list: FileList): Parcel[] {
  return [...list].map((file) => ({ name: file.name, files: [{ path: file.name, file }], isFolder: false }));
}

/** The browser names each file of a chosen folder by its path, which begins with the folder's name. */
export function gatherFolder(list: FileList): Parcel[] {
  const files = [...list].map((file) => ({ path: file.webkitRelativePath, file }));
  const name = files[0]?.path.split('/')[0];
  return name === undefined ? [] : [{ name, files: files.map((one) => within(name, one)), isFolder: true }];
}

/** The folder is the upload's root, so that its own name is none of a path. */
function within(folder: string, { path, file }: { path: string; file: File }) {
  return { path: path.slice(folder.length + 1), file };
}

async function parcelOf(entry: FileSystemEntry): Promise<Parcel> {
  const files = (await walk(entry)).map(({ path, file }) => ({ path: path.replace(/^\//, ''), file }));
  if (!entry.isDirectory) return { name: entry.name, files, isFolder: false };
  return { name: entry.name, files: files.map((one) => within(entry.name, one)), isFolder: true };
}

async function walk(entry: FileSystemEntry): Promise<{ path: string; file: File }[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path: entry.fullPath, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: { path: string; file: File }[] = [];
  for (;;) {
    // A reader gives some hundred at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    for (const inner of some) all.push(...(await walk(inner)));
  }
}
