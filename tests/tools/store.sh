#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# store.sh: mkfs, info, fsck and dump on small stores, whole and damaged.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

uuid=01234567-89ab-cdef-0123-456789abcdef

# A store of the engine with tables in it, without a filesystem.
plain_store() {
  expect 0 "$TINYLSM" bench --db="$PWD/$1" --num=3000 \
    --benchmarks=fillrandom,compact
  [ -n "$(tables "$1")" ] || bad "no table in $1"
}

# The files of a store by what their names say.
tables() { find "$1" -name '*.sst' | sort; }
logs() { find "$1" -name '*.wal' | sort; }
manifest() { echo "$1/$(head -n 1 "$1/CURRENT")"; }

# What a store consists of, to see that nothing changed it. LOCK may.
fingerprint() {
  find "$1" -type f ! -name LOCK -exec cksum {} + | sort
}

json_number() {
  grep -Eo "\"$1\": [0-9.]+" "$out" | head -n 1 | grep -Eo '[0-9.]+$'
}

mkfs_says_what_it_made() {
  expect 0 "$TINYLSM" mkfs fs -L home -b 8K -s 1G -c none -U "$uuid"
  prints '^fs: filesystem made$'
  prints "uuid +$uuid"
  prints 'label +home'
  prints 'block size +8192'
  prints 'compression +none'
  prints 'size limit +1\.0 GiB'
  expect 0 "$TINYLSM" info fs
  prints "^uuid +$uuid"
  prints '^label +home'
  prints '^block size +8192'
  prints '^compression +none'
  prints '^size limit +1\.0 GiB'
  prints '^inodes used +1$'
}

mkfs_gives_every_filesystem_a_uuid_of_its_own() {
  expect 0 "$TINYLSM" mkfs a
  prints 'uuid +[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
  cp "$out" first
  expect 0 "$TINYLSM" mkfs b
  [ "$(grep uuid first)" != "$(grep uuid "$out")" ] || bad "the same uuid"
}

mkfs_takes_an_empty_directory_and_nothing_else() {
  mkdir empty
  expect 0 "$TINYLSM" mkfs empty
  mkdir foreign
  echo precious >foreign/letter
  expect 1 "$TINYLSM" mkfs foreign
  one_line
  complains 'foreign: is not empty'
  expect 1 "$TINYLSM" mkfs foreign --force
  [ "$(ls foreign)" = letter ] || bad "the directory was changed"
  echo precious >file
  expect 1 "$TINYLSM" mkfs file
  [ "$(cat file)" = precious ] || bad "the file was changed"
  expect 1 "$TINYLSM" mkfs no/such/parent
}

mkfs_replaces_a_filesystem_only_when_forced() {
  expect 0 "$TINYLSM" mkfs fs -L old
  expect 1 "$TINYLSM" mkfs fs -L new
  complains 'holds a filesystem already; --force'
  expect 0 "$TINYLSM" info fs
  prints '^label +old'
  expect 0 "$TINYLSM" mkfs fs -L new --force
  expect 0 "$TINYLSM" info fs
  prints '^label +new'
  expect 0 "$TINYLSM" fsck fs
}

info_shows_a_store_without_a_filesystem() {
  plain_store db
  expect 0 "$TINYLSM" info db
  prints '^filesystem +none'
  prints '^tables +[1-9]'
  prints '^  level [0-6] +[1-9]'
  prints '^on disk '
  expect 0 "$TINYLSM" info --scan db
  prints '^space amplific\. +[0-9]+\.[0-9]'
}

info_as_json_says_the_same() {
  plain_store db
  expect 0 "$TINYLSM" info --json --scan db
  if command -v jq >/dev/null; then
    jq -e .filesystem==false "$out" >/dev/null || bad "not the JSON that was meant"
  fi
  prints '^\{$'
  prints '^\}$'
  prints '"filesystem": false'
  local live raw
  live=$(json_number live_entries)
  # Random fills hit about 63% of the keys.
  if [ "${live:-0}" -lt 1700 ] || [ "$live" -gt 2100 ]; then
    bad "live_entries is ${live:-missing}"
  fi
  raw=$(json_number live_bytes)
  [ "${raw:-0}" -eq $((live * 116)) ] || bad "live_bytes is ${raw:-missing}"
  expect 0 "$TINYLSM" mkfs fs -L 'a"b\c'
  expect 0 "$TINYLSM" info -j fs
  prints '"label": "a\\"b\\\\c"'
  prints '"filesystem": true'
  prints '"block_bytes": 4096'
  prints '"inodes_used": 1'
}

looking_at_a_store_changes_nothing() {
  expect 0 "$TINYLSM" mkfs fs
  plain_store db
  local s before after
  for s in fs db; do
    before=$(fingerprint "$s")
    expect 0 "$TINYLSM" info "$s"
    expect 0 "$TINYLSM" fsck -n "$s"
    expect 0 "$TINYLSM" dump "$s"
    expect 0 "$TINYLSM" dump "$s" all
    after=$(fingerprint "$s")
    [ "$before" = "$after" ] || {
      bad "$s was changed"
      diff <(echo "$before") <(echo "$after") | sed 's/^/#   /'
    }
  done
}

fsck_finds_a_new_filesystem_clean() {
  expect 0 "$TINYLSM" mkfs fs
  local o
  for o in "" -n -y -p -a -f --data -v; do
    # shellcheck disable=SC2086 # no option is no argument
    expect 0 "$TINYLSM" fsck fs $o
    prints '^fs: clean, 1/[0-9]+ files, [0-9]+/[0-9]+ blocks$'
    [ ! -s "$err" ] || bad "something on stderr"
  done
  expect 0 "$TINYLSM" fsck -v fs
  prints '^ +1 directories$'
  plain_store db
  expect 0 "$TINYLSM" fsck db
  prints '^db: clean, no filesystem'
}

dump_prints_keys_in_words_and_in_hex() {
  expect 0 "$TINYLSM" mkfs fs -L words
  expect 0 "$TINYLSM" dump fs
  [ -s "$out" ] || bad "nothing printed"
  local all
  all=$(wc -l <"$out")
  expect 0 "$TINYLSM" dump fs keys --ino 1
  [ "$(wc -l <"$out")" -ge 1 ] || bad "the root has no key"
  [ "$(wc -l <"$out")" -lt "$all" ] || bad "--ino shows everything"
  expect 0 "$TINYLSM" dump fs keys --ino 1 --raw
  prints '^0000000000000001[0-9a-f]* = [0-9a-f]+'
  if grep -v '^0000000000000001' "$out" | grep -q .; then
    bad "keys of another inode"
  fi
  expect 0 "$TINYLSM" dump fs keys --ino 4711
  [ ! -s "$out" ] || bad "keys of an inode that is not there"
  expect 0 "$TINYLSM" dump fs keys --prefix ffffff
  [ ! -s "$out" ] || bad "keys of a prefix that is not there"
}

dump_prints_every_kind_of_file() {
  plain_store db
  local t
  t=$(basename "$(tables db | head -n 1)")
  expect 0 "$TINYLSM" dump db table "$t"
  [ "$(wc -l <"$out")" -ge 100 ] || bad "a table of few lines"
  expect 0 "$TINYLSM" dump db table "db/$t"
  expect 0 "$TINYLSM" dump db manifest
  prints .
  cp "$out" current
  expect 0 "$TINYLSM" dump db manifest "$(basename "$(manifest db)")"
  cmp -s current "$out" || bad "another manifest than the current one"
  t=$(logs db | head -n 1)
  if [ -n "$t" ]; then
    expect 0 "$TINYLSM" dump db wal "$(basename "$t")"
  fi
  expect 0 "$TINYLSM" dump db all
  prints '^== MANIFEST-'
  prints '^== [0-9]+\.sst'
  expect 1 "$TINYLSM" dump db table 999999.sst
  one_line
  complains '999999\.sst'
}

what_is_no_store_is_refused_in_one_line() {
  mkdir empty foreign
  echo letter >foreign/letter
  local s
  for s in missing empty foreign foreign/letter; do
    expect 1 "$TINYLSM" info "$s"
    one_line
    complains "$s: "
    expect 1 "$TINYLSM" dump "$s"
    one_line
    expect 8 "$TINYLSM" fsck "$s"
    one_line
    expect 8 "$TINYLSM" fsck -y "$s"
  done
  [ "$(find . -type f -o -type d | wc -l)" -eq 4 ] || bad "something was made"
}

a_flipped_byte_in_a_table_is_found_and_named() {
  plain_store db
  local t
  t=$(tables db | head -n 1)
  flip "$t" 700
  expect 4 "$TINYLSM" fsck db
  complains "$(basename "$t")"
  complains 'corrupt|checksum'
  if grep -q clean "$out"; then bad "called clean"; fi
  expect 1 "$TINYLSM" dump db
  expect 1 "$TINYLSM" dump db all
}

a_truncated_table_is_found() {
  plain_store db
  local t size
  t=$(tables db | head -n 1)
  size=$(stat -c %s "$t")
  truncate -s $((size / 2)) "$t"
  expect 4 "$TINYLSM" fsck db
  expect 1 "$TINYLSM" dump db table "$(basename "$t")"
  truncate -s 0 "$t"
  expect 4 "$TINYLSM" fsck db
}

a_missing_table_is_found() {
  plain_store db
  rm "$(tables db | head -n 1)"
  run "$TINYLSM" fsck db
  [ "$status" -ge 4 ] || bad "exit $status"
  if grep -q clean "$out"; then bad "called clean"; fi
}

a_missing_or_damaged_manifest_is_found() {
  expect 0 "$TINYLSM" mkfs fs
  cp -r fs flipped
  rm "$(manifest fs)"
  run "$TINYLSM" fsck fs
  [ "$status" -ge 4 ] || bad "exit $status without a manifest"
  expect 1 "$TINYLSM" info fs
  expect 1 "$TINYLSM" dump fs manifest
  flip "$(manifest flipped)" 20
  run "$TINYLSM" fsck flipped
  [ "$status" -ge 4 ] || bad "exit $status with a damaged manifest"
  expect 1 "$TINYLSM" info flipped
  cp -r flipped nocurrent
  rm nocurrent/CURRENT
  expect 1 "$TINYLSM" info nocurrent
  run "$TINYLSM" mkfs nocurrent
  [ "$status" -ne 0 ] || bad "a store without CURRENT was overwritten"
}

# crc32c BYTE...: of bytes given as numbers, bit by bit.
crc32c() {
  local crc=$((0xffffffff)) b i
  for b in "$@"; do
    crc=$((crc ^ b))
    for ((i = 0; i < 8; i++)); do
      crc=$((crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1))
    done
  done
  echo $((crc ^ 0xffffffff))
}

# poke FILE OFFSET BYTE...
poke() {
  local file=$1 at=$2 b
  shift 2
  for b in "$@"; do
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x "$b")" |
      dd of="$file" bs=1 seek="$at" conv=notrunc status=none
    at=$((at + 1))
  done
}

a_newer_format_is_refused_and_left_as_it_is() {
  expect 0 "$TINYLSM" mkfs fs
  local m before crc
  m=$(manifest fs)
  # The header of a log: magic 8, format 4, number 8, checksum of these 4.
  poke "$m" 8 255 0 0 0
  # shellcheck disable=SC2046 # one argument a byte
  crc=$(crc32c $(od -An -v -tu1 -N 20 "$m"))
  poke "$m" 20 $((crc & 255)) $((crc >> 8 & 255)) $((crc >> 16 & 255)) \
    $((crc >> 24 & 255))
  before=$(fingerprint fs)
  expect 1 "$TINYLSM" info fs
  one_line
  complains 'newer version'
  expect 1 "$TINYLSM" dump fs
  expect 8 "$TINYLSM" fsck fs
  complains 'newer version'
  expect 8 "$TINYLSM" fsck -y fs
  expect 1 "$TINYLSM" mkfs fs
  expect 1 "$TINYLSM" mkfs --force fs
  expect 1 "$TINYLSM" bench --db="$PWD/fs" --num=10 --benchmarks=fillseq
  [ "$before" = "$(fingerprint fs)" ] || bad "the store was changed"
}

garbage_never_crashes_a_command() {
  plain_store whole
  local i f size
  for ((i = 0; i < 24; i++)); do
    rm -rf s
    cp -r whole s
    f=$(find s -type f ! -name LOCK -size +0 | sort |
      awk -v i="$i" '{ a[NR] = $0 } END { print a[i % NR + 1] }')
    size=$(stat -c %s "$f")
    if ((i % 3 == 2)); then
      truncate -s $((size * (i + 1) / 30)) "$f"
    else
      flip "$f" $(((size - 1) * (i * 37 % 101) / 101))
    fi
    run "$TINYLSM" fsck s
    [ "$status" -lt 16 ] || bad "fsck: exit $status after damage $i to $f"
    run "$TINYLSM" info s
    [ "$status" -le 1 ] || bad "info: exit $status after damage $i to $f"
    run "$TINYLSM" dump s all
    [ "$status" -le 1 ] || bad "dump: exit $status after damage $i to $f"
  done
}

a_store_open_elsewhere_is_said_to_be() {
  "$TINYLSM" bench --db="$PWD/db" --num=1000 --duration=20 \
    --benchmarks=fillseq,readrandom >bench.out 2>&1 &
  bench_pid=$!
  local i
  for ((i = 0; i < 100; i++)); do
    grep -q '^fillseq' bench.out && break
    sleep 0.1
  done
  expect 8 "$TINYLSM" fsck -y db
  complains "open in process $bench_pid"
  run "$TINYLSM" info db
  [ "$status" -eq 0 ] || bad "info exits with $status"
  prints "^state +open in process $bench_pid"
  expect 1 "$TINYLSM" mkfs --force db
  expect 8 "$TINYLSM" fsck -n db
  expect 0 "$TINYLSM" dump db manifest
  expect 1 "$TINYLSM" bench --db="$PWD/db" --num=10 --benchmarks=fillseq
  complains "open in process $bench_pid"
  kill "$bench_pid"
  wait "$bench_pid" 2>/dev/null
  bench_pid=
}

bench_pid=
cleanup() {
  [ -z "$bench_pid" ] || kill "$bench_pid" 2>/dev/null
}

run_tests mkfs_says_what_it_made \
  mkfs_gives_every_filesystem_a_uuid_of_its_own \
  mkfs_takes_an_empty_directory_and_nothing_else \
  mkfs_replaces_a_filesystem_only_when_forced \
  info_shows_a_store_without_a_filesystem \
  info_as_json_says_the_same \
  looking_at_a_store_changes_nothing \
  fsck_finds_a_new_filesystem_clean \
  dump_prints_keys_in_words_and_in_hex \
  dump_prints_every_kind_of_file \
  what_is_no_store_is_refused_in_one_line \
  a_flipped_byte_in_a_table_is_found_and_named \
  a_truncated_table_is_found \
  a_missing_table_is_found \
  a_missing_or_damaged_manifest_is_found \
  a_newer_format_is_refused_and_left_as_it_is \
  garbage_never_crashes_a_command \
  a_store_open_elsewhere_is_said_to_be
