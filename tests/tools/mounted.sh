#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mounted.sh: the commands on a store that tinylsmfs has mounted, and on what it
# leaves behind. Needs root and /dev/fuse.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

mnt=$work/mnt

# mounted COMMAND...: mounts the store with it, or says why not.
mounted() {
  mkdir -p "$mnt"
  expect 0 "$@"
  mountpoint -q "$mnt" || bad "not mounted"
}

# The daemon may live a little longer than its mount.
unmounted() {
  local i store=${1:-store}
  umount "$mnt" || bad "cannot unmount"
  for ((i = 0; i < 100; i++)); do
    "$TINYLSM" info --json "$store" | grep -q '"open": true' || return 0
    sleep 0.1
  done
  bad "the store stays open"
}

cleanup() {
  cd /
  if mountpoint -q "$mnt"; then
    umount -l "$mnt"
  fi
}

fill() {
  local i
  mkdir "$mnt/dir"
  for ((i = 0; i < 50; i++)); do
    head -c $((i * 1000)) /dev/urandom >"$mnt/dir/file$i"
  done
  ln -s file1 "$mnt/dir/link"
}

mount_mounts_and_info_says_where() {
  expect 0 "$TINYLSM" mkfs store -L busy
  mounted "$TINYLSM" mount store "$mnt"
  fill
  expect 0 "$TINYLSM" info store
  prints "^state +mounted on $mnt by process [0-9]+$"
  prints '^inodes used +53$'
  expect 0 "$TINYLSM" info --json store
  prints '"open": true'
  prints "\"mountpoint\": \"$mnt\""
  # Incompressible files were given, so more was written than one time them.
  head -c 20000000 /dev/urandom >"$mnt/given"
  sync "$mnt/given"
  expect 0 "$TINYLSM" info --json store
  prints '"given_bytes": 2[0-9]{7}'
  prints '"write_amplification": [1-9]\.[0-9]+'
  expect 0 "$TINYLSM" info store
  prints '^write amplific\. +[1-9]\.[0-9]+ \(bytes written'
  rm "$mnt/given"
  unmounted
  expect 0 "$TINYLSM" info store
  prints '^label +busy'
  prints '^inodes used +53$'
  if grep -q '^state' "$out"; then bad "still said to be mounted"; fi
}

a_mounted_store_is_not_checked_remade_or_measured() {
  expect 0 "$TINYLSM" mkfs store
  mounted "$TINYLSM" mount store "$mnt"
  fill
  local o
  for o in -n -y; do
    expect 8 "$TINYLSM" fsck "$o" store
    one_line
    complains "store: is mounted on $mnt by process [0-9]+$"
  done
  expect 1 "$TINYLSM" mkfs --force store
  complains "is mounted on $mnt"
  expect 1 "$TINYLSM" bench --db=store --num=10 --benchmarks=fillseq
  expect 1 "$TINYLSM" bench --db=store --num=10 --use_existing_db \
    --benchmarks=overwrite
  complains "is mounted on $mnt"
  [ "$(find "$mnt/dir" -name 'file*' | wc -l)" -eq 50 ] || bad "files are gone"
  unmounted
}

what_was_mounted_checks_clean() {
  mounted "$TINYLSM" mount store "$mnt"
  fill
  unmounted
  expect 0 "$TINYLSM" fsck -v --data store
  prints '^store: clean, 53/[0-9]+ files'
  prints '^ +50 regular files$'
  prints '^ +2 directories$'
  prints '^ +1 symbolic links$'
  expect 0 "$TINYLSM" dump store keys
  prints 'file49'
  prints 'link'
}

# blocks STORE WORD: how many blocks of blob files are stored as WORD says.
blocks() {
  local f
  for f in "$1"/*.blob; do
    "$TINYLSM" dump "$1" blob "${f##*/}" || bad "cannot dump $f"
  done | grep -c " $2" || true
}

compression_is_the_mounts_if_it_says_so() {
  expect 0 "$TINYLSM" mkfs squeezed
  seq 1000000 >numbers
  mounted "$TINYLSMFS" squeezed "$mnt" -o compression=none
  cp numbers "$mnt/plain"
  unmounted squeezed
  mounted "$TINYLSMFS" squeezed "$mnt"
  cp numbers "$mnt/packed"
  unmounted squeezed
  mounted "$TINYLSMFS" squeezed "$mnt" -o ro
  cmp numbers "$mnt/plain" || bad "other data"
  cmp numbers "$mnt/packed" || bad "other data"
  unmounted squeezed
  expect 0 "$TINYLSM" info squeezed
  prints '^compression +lz4$'
  [ "$(blocks squeezed raw)" -ge 200 ] || bad "nothing is stored as it was"
  [ "$(blocks squeezed lz4)" -ge 200 ] || bad "nothing is compressed"
}

damage_to_files_is_found() {
  mounted "$TINYLSM" mount store "$mnt"
  head -c 30000000 /dev/urandom >"$mnt/big"
  sync "$mnt/big"
  # What is written behind a sync tells the log's reader, should the data still
  # be in the log, that bad bytes before it are damage and no torn tail.
  echo later >"$mnt/later"
  unmounted
  local t
  t=$(find store -name '*.blob' -size +1000k | sort | head -n 1)
  if [ -z "$t" ]; then
    t=$(find store -name '*.wal' -size +1000k | sort | head -n 1)
  fi
  if [ -z "$t" ]; then
    bad "no file with the data"
    return
  fi
  if [ "${t##*.}" = blob ]; then
    expect 0 "$TINYLSM" info store
    prints '^blob files +[1-9][0-9]*, [0-9.]+ MiB, holding [0-9.]+ MiB of values$'
    prints '^  live +[0-9.]+ MiB, 100\.0 %; dead 0 '
    expect 0 "$TINYLSM" info --json store
    prints '"blob_live_bytes": [0-9]{8}'
    expect 0 "$TINYLSM" dump store blob "${t##*/}"
    prints ' 4096 bytes'
    expect 0 "$TINYLSM" fsck -v store
    prints '^ +[0-9]{8} bytes of values in them'
  fi
  flip "$t" 500000
  run "$TINYLSM" fsck --data store
  [ $((status & 12)) -ne 0 ] || bad "exit $status with a damaged ${t##*/}"
  if grep -q clean "$out"; then bad "called clean"; fi
}

if [ "$(id -u)" -ne 0 ] || [ ! -c /dev/fuse ] ||
  ! command -v "$TINYLSMFS" >/dev/null; then
  echo "1..0 # SKIP needs root, /dev/fuse and tinylsmfs"
  exit 0
fi
# mount looks for the daemon beside itself, then here.
PATH=$(dirname "$TINYLSMFS"):$PATH
run_tests mount_mounts_and_info_says_where \
  a_mounted_store_is_not_checked_remade_or_measured \
  what_was_mounted_checks_clean \
  compression_is_the_mounts_if_it_says_so \
  damage_to_files_is_found
