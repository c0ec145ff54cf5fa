#!/usr/bin/env bash
# Copies what Lading cannot make anew into a folder; run again into the same folder it copies only what is new of the store (with rsync).
#   DATA_DIR=… [DATABASE_URL=…] [STORE_URL=…] ops/backup.sh FOLDER
# With DATABASE_URL the service may run meanwhile; with the embedded database it must stand still. docs/operating.md has the way back.
set -euo pipefail
to="${1:?usage: ops/backup.sh FOLDER}"
data="${DATA_DIR:?set DATA_DIR as the service has it}"
store="${STORE_URL:-file://$(realpath "$data")/store}"
umask 077
# As root the embedded database may lie elsewhere, which a file tells.
postgres_folder() { if [ -s "$data/postgres.location" ]; then cat "$data/postgres.location"; else echo "$data/postgres"; fi; }
mkdir -p "$to"

# The database first: every object that its rows name was there before them, and objects never change.
if [ -n "${DATABASE_URL:-}" ]; then
  pg_dump --format=custom --file="$to/database.dump.new" "$DATABASE_URL"
  mv "$to/database.dump.new" "$to/database.dump"
elif [ -e "$(postgres_folder)/postmaster.pid" ]; then
  echo "the embedded database in $data runs: stop the service first (systemctl stop lading)" >&2
  exit 1
fi

# Secrets, an embedded database, a market top-up under way; what is half fetched (pulls) comes again by itself.
rm -rf "$to/data.new"
mkdir "$to/data.new"
for one in "$data"/*; do
  case "$(basename "$one")" in store | pulls | spill | postgres | postgres.location | postgres.log) continue ;; esac
  cp -a "$one" "$to/data.new/"
done
[ -n "${DATABASE_URL:-}" ] || cp -a "$(postgres_folder)" "$to/data.new/postgres"
# The folder around the copies is shut; this one is as it was, so that it is what goes back.
chmod --reference="$data" "$to/data.new"
chown --reference="$data" "$to/data.new"
rm -rf "$to/data"
mv "$to/data.new" "$to/data"

case "$store" in
  file://*)
    from="${store#file://}"
    mkdir -p "$to/store"
    # What is being written (staging) is nobody's yet, and what is released meanwhile (24) is missed by nobody.
    if [ ! -d "$from/objects" ]; then
      mkdir -p "$to/store/objects"
    elif command -v rsync >/dev/null; then
      rsync -a "$from/objects" "$to/store/" || [ $? = 24 ]
    else
      cp -a "$from/objects" "$to/store/"
    fi
    ;;
  *) echo "the objects are in $store: copy the bucket by its own means, after this (versioning or replication does)" >&2 ;;
esac
echo "copied to $to"
