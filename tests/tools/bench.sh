#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# bench.sh: every workload runs and prints a line that db_bench's users parse;
# and no directory is destroyed that bench did not make.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

filling=(fillseq fillrandom fillbatch fillsync)
going_on=(overwrite readrandom readmissing multireadrandom readwhilewriting
  readseq readreverse seekrandom deleterandom deleteseq flush compact
  waitforcompaction)
result=':[[:space:]]+[0-9.]+ micros/op;?( [0-9]+ ops/sec)?'

# found NAME N M: a read result that found N of M.
found() {
  prints "^$1 +$result.*\\($2 of $3 found\\)"
}

every_workload_prints_a_result_line() {
  local b list
  list=$(
    IFS=,
    echo "${filling[*]},${going_on[*]}"
  )
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=2000 --benchmarks="$list"
  for b in "${filling[@]}" "${going_on[@]}"; do
    grep -Eq "^$b +$result" "$out" || bad "no result line of $b"
  done
  [ "$(grep -Ec "^[a-z]+ +$result" "$out")" -eq \
    $((${#filling[@]} + ${#going_on[@]})) ] || bad "a line too many or few"
}

reads_find_what_was_written() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=2000 \
    --benchmarks=fillseq,readrandom,readmissing,seekrandom,readseq,readreverse
  found readrandom 2000 2000
  found readmissing 0 2000
  found seekrandom 2000 2000
  prints "^readseq .* 2000 operations"
  prints "^readreverse .* 2000 operations"
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=2000 --use_existing_db=1 \
    --benchmarks=readrandom,multireadrandom,deleteseq,readrandom,readseq \
    --batch_size=16 --reads=800
  found multireadrandom 800 800
  found readrandom 0 800
  prints "^readseq .* 0 operations"
}

keys_and_values_have_the_form_that_was_asked_for() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=300 --value_size=40 \
    --benchmarks=fillseq
  expect 0 "$TINYLSM" dump db keys --raw --prefix 000000000000012b
  prints '^000000000000012b3030303030303030 = ([0-9a-f]{2}){40}$'
  [ "$(wc -l <"$out")" -eq 1 ] || bad "the last key is there not just once"
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=1200 --key_format=decimal \
    --key_size=20 --benchmarks=fillseq,readrandom
  found readrandom 1200 1200
  expect 0 "$TINYLSM" dump db keys
  prints '^00000000000000001005 = '
  [ "$(wc -l <"$out")" -eq 1200 ] || bad "$(wc -l <"$out") keys, not 1200"
}

several_threads_do_their_number_of_operations_each() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=1000 --threads=3 \
    --benchmarks=fillrandom,readrandom,readwhilewriting --reads=500
  prints '^fillrandom .* 3000 operations'
  prints '^readrandom .* 1500 operations'
  prints '^readwhilewriting .* 1500 operations'
}

filling_an_existing_store_is_skipped_and_keeps_it() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=500 --benchmarks=fillseq
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=500 --use_existing_db=1 \
    --benchmarks=fillrandom,readseq
  prints '^fillrandom +: skipped'
  prints '^readseq .* 500 operations'
  expect 1 "$TINYLSM" bench --db="$PWD/none" --use_existing_db=1 \
    --benchmarks=readseq
  [ ! -e none ] || bad "a store was made"
}

filling_starts_from_an_empty_store() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=900 --benchmarks=fillseq
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=100 \
    --benchmarks=fillseq,readseq --reads=5000
  prints '^readseq .* 100 operations'
}

a_directory_that_is_not_a_store_is_not_destroyed() {
  mkdir foreign
  echo precious >foreign/letter
  expect 1 "$TINYLSM" bench --db="$PWD/foreign" --num=10 --benchmarks=fillseq
  complains "not a store.*letter"
  [ "$(cat foreign/letter)" = precious ] || bad "the file is gone"
  mkdir mixed
  expect 0 "$TINYLSM" bench --db="$PWD/mixed" --num=10 --benchmarks=fillseq
  echo precious >mixed/letter
  expect 1 "$TINYLSM" bench --db="$PWD/mixed" --num=10 --benchmarks=fillseq
  [ -e mixed/letter ] || bad "the file is gone"
  [ -e mixed/CURRENT ] || bad "the store is gone"
}

a_filesystem_is_not_destroyed() {
  expect 0 "$TINYLSM" mkfs fs -L keepme
  expect 1 "$TINYLSM" bench --db="$PWD/fs" --num=10 --benchmarks=fillseq
  complains 'holds a filesystem'
  expect 0 "$TINYLSM" info fs
  prints 'keepme'
}

statistics_and_latencies_are_printed_when_asked_for() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=2000 --histogram \
    --benchmarks=fillrandom,readrandom,stats
  [ "$(grep -c '^Microseconds per call: count 2000 .* p50 .* p99 .* p99.9 .* max' \
    "$out")" -eq 2 ] || bad "no latencies"
  prints 'write amplification: [0-9.]+'
  prints '2000 operations in 2000 batches'
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=100 --nohistogram \
    --benchmarks=fillseq
  if grep -q Microseconds "$out"; then bad "latencies without asking"; fi
}

a_duration_ends_a_random_workload() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=1000 --duration=1 \
    --benchmarks=fillseq,readrandom
  prints '^fillseq .* 1000 operations'
  awk '/^readrandom/ { for (i = 1; i < NF; i++)
    if ($(i + 1) == "seconds") exit !($i >= 0.9 && $i < 5) }' "$out" ||
    bad "readrandom did not run for a second"
}

without_a_directory_a_temporary_one_is_used_and_removed() {
  mkdir tmp
  TMPDIR=$PWD/tmp expect 0 "$TINYLSM" bench --num=100 --benchmarks=fillseq
  complains "warning: no --db: using $PWD/tmp/tinylsm-bench-"
  [ -z "$(ls -A tmp)" ] || bad "left behind: $(ls -A tmp)"
}

a_wrong_flag_runs_nothing() {
  local f
  for f in --frob --frob=1 --num --num=x --num=0 --num=-1 --threads=0 \
    --key_size=4 --compression=zip --compression_ratio=2 --batch_size=0 \
    --sync=maybe --nonum --benchmarks=fillseq,frob --benchmarks= frob \
    --wal_sync_interval_ms=99999999999 --use_existing_db; do
    expect 2 "$TINYLSM" bench "$f"
    one_line
  done
  [ ! -e db ] || bad "a store was made"
}

events_are_told_beside_the_result() {
  expect 0 "$TINYLSM" bench --db="$PWD/db" --num=2000 --events \
    --benchmarks=fillrandom,flush,compact
  complains '^event [0-9.]+: flush begins: memtables [0-9]+, '
  complains '^event [0-9.]+: flush ends: 1 made, .* into .*, took '
  complains '^event [0-9.]+: compaction begins: level 0 to [1-6], tables 1,'
  complains '^event [0-9.]+: compaction ends: level 0 to [1-6]: '
  prints "^fillrandom +$result"
  if grep -q ^event "$out"; then bad "events among the results"; fi
}

run_tests every_workload_prints_a_result_line \
  reads_find_what_was_written \
  keys_and_values_have_the_form_that_was_asked_for \
  several_threads_do_their_number_of_operations_each \
  filling_an_existing_store_is_skipped_and_keeps_it \
  filling_starts_from_an_empty_store \
  a_directory_that_is_not_a_store_is_not_destroyed \
  a_filesystem_is_not_destroyed \
  statistics_and_latencies_are_printed_when_asked_for \
  a_duration_ends_a_random_workload \
  without_a_directory_a_temporary_one_is_used_and_removed \
  events_are_told_beside_the_result \
  a_wrong_flag_runs_nothing
