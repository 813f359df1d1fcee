#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# repair.sh: tinylsm repair on damaged stores, with and without a filesystem.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

keys=3000

store() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num="$keys" \
    --benchmarks=fillseq,flush,compact
}

all_keys_are_there() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num="$keys" --use_existing_db=1 \
    --benchmarks=readseq
  prints "^readseq .* $keys operations"
  expect 0 "$TINYLSM" fsck db
}

manifest() { echo "$1/$(head -n 1 "$1/CURRENT")"; }

a_sound_store_is_left_as_it_is() {
  store
  find db -type f ! -name LOCK -exec cksum {} + | sort >before
  expect 0 "$TINYLSM" repair db
  prints 'the store is sound'
  find db -type f ! -name LOCK -exec cksum {} + | sort >after
  cmp -s before after || bad "files were changed"
}

a_lost_current_is_written_again() {
  store
  rm db/CURRENT
  expect 0 "$TINYLSM" repair db
  prints '^CURRENT is missing$'
  prints '^CURRENT names MANIFEST-'
  all_keys_are_there
}

a_lost_manifest_is_made_anew() {
  store
  rm "$(manifest db)"
  expect 0 "$TINYLSM" repair db
  prints "tables merged into .* $keys entries"
  all_keys_are_there
}

a_damaged_table_loses_only_its_damaged_block() {
  local t
  store
  t=$(find db -name '*.sst' | head -n 1)
  flip "$t" 5000
  run "$TINYLSM" fsck db
  [ "$status" -ge 4 ] || bad "fsck finds nothing"
  expect 0 "$TINYLSM" repair db
  prints ': damaged: 1 blocks are lost, [0-9]+ entries saved'
  prints ': kept as .*\.sst\.bad$'
  [ -e "$t.bad" ] || bad "the damaged table is gone"
  expect 0 "$TINYLSM" fsck db
  expect 0 "$TINYLSM" repair --quiet db
  [ ! -s "$out" ] || bad "--quiet prints something"
}

a_filesystem_comes_back() {
  expect 0 "$TINYLSM" mkfs fs -L home
  rm "$(manifest fs)" fs/CURRENT
  expect 1 "$TINYLSM" info fs
  expect 0 "$TINYLSM" repair fs
  expect 0 "$TINYLSM" fsck fs
  expect 0 "$TINYLSM" info fs
  prints '^label +home'
}

what_is_no_store_is_refused() {
  mkdir empty other
  touch other/letter
  expect 1 "$TINYLSM" repair empty
  one_line
  expect 1 "$TINYLSM" repair other
  one_line
  [ "$(ls -A other)" = letter ] || bad "a foreign directory was changed"
  expect 1 "$TINYLSM" repair nowhere
  one_line
}

a_store_open_elsewhere_is_refused() {
  "$TINYLSM" bench --db="$PWD/db" --num=1000 --duration=60 \
    --benchmarks=fillseq,readrandom >/dev/null 2>&1 &
  bench_pid=$!
  for _ in {1..100}; do
    [ -e db/CURRENT ] && break
    sleep 0.1
  done
  expect 1 "$TINYLSM" repair db
  complains "open in process $bench_pid"
  kill "$bench_pid"
  wait "$bench_pid" 2>/dev/null
  bench_pid=
}

bench_pid=
cleanup() {
  [ -z "$bench_pid" ] || kill "$bench_pid" 2>/dev/null
}

run_tests a_sound_store_is_left_as_it_is \
  a_lost_current_is_written_again \
  a_lost_manifest_is_made_anew \
  a_damaged_table_loses_only_its_damaged_block \
  a_filesystem_comes_back \
  what_is_no_store_is_refused \
  a_store_open_elsewhere_is_refused
