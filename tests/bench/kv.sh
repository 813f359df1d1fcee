#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kv.sh: the engine beside LevelDB and RocksDB, as markdown tables.
#
#   kv.sh [-n rounds] [-N keys] [-v value bytes] [-s sets] [-d dir] [-o file]
#
# Runs `tinylsm bench` and the db_bench programs that the environment names,
# with the same settings, one engine after the other in every round and in
# another order each round, since what runs first may run faster. Prints the
# median of the rounds, and how many times the rate of each peer ours is. Like
# is compared with like: RocksDB's db_bench makes binary keys, which differ in
# their first bytes, LevelDB's decimal ones, which begin with many zeros; so
# tinylsm runs with either (the column tinylsm-decimal is for LevelDB).
#
#   TINYLSM             the program (default ./tinylsm)
#   LEVELDB_DB_BENCH    LevelDB's db_bench; left out when unset
#   ROCKSDB_DB_BENCH    RocksDB's db_bench; left out when unset
#   TINYLSM_BENCH_FLAGS more flags for tinylsm bench
#
# Sets: fill, read, threads, sync, large (values of 4 and 64 KiB, also with
# blob_bytes: the column tinylsm-blobs), del. Every set of every engine starts
# from an empty directory; "cold" drops the page cache, which needs root and is
# left out otherwise. -o keeps each single result, for plot.gp and later
# comparison.
set -euo pipefail

# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
TINYLSM=${TINYLSM:-./tinylsm}
rounds=3 num=1000000 value=100 sets=fill,read,threads,sync,large,del
dir='' raw=''
cache=$((512 << 20)) wbuf=$((64 << 20))

usage() {
  echo "usage: kv.sh [-n rounds] [-N keys] [-v value bytes] [-s sets]" \
    "[-d dir] [-o file]" >&2
  exit 2
}
while getopts n:N:v:s:d:o: opt; do
  case $opt in
  n) rounds=$OPTARG ;;
  N) num=$OPTARG ;;
  v) value=$OPTARG ;;
  s) sets=$OPTARG ;;
  d) dir=$OPTARG ;;
  o) raw=$OPTARG ;;
  *) usage ;;
  esac
done
[ $OPTIND -gt $# ] || usage

work=$(mktemp -d "${dir:-${TMPDIR:-/var/tmp}}/tinylsm-kv-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
log=$work/log
results=${raw:-$work/results}
: >"$results"

engines=(tinylsm)
# Values in blob files, in the set "large" alone.
case ,$sets, in *,large,*) engines+=(tinylsm-blobs) ;; esac
[ -z "${LEVELDB_DB_BENCH:-}" ] || engines+=(tinylsm-decimal leveldb)
[ -z "${ROCKSDB_DB_BENCH:-}" ] || engines+=(rocksdb)

# command ENGINE BENCHMARKS NUM READS VALUE THREADS EXISTING CACHE: sets cmd.
command_line() {
  local common=(--db="$work/db" --num="$3" --reads="$4" --value_size="$5"
    --threads="$6" --benchmarks="$2" --use_existing_db="$7"
    --cache_size="$8" --write_buffer_size="$wbuf" --bloom_bits=10
    --compression_ratio=0.5 --block_size=4096)
  case $1 in
  tinylsm*)
    # shellcheck disable=SC2206 # flags are to be split
    local more=(${TINYLSM_BENCH_FLAGS:-})
    [ "$1" != tinylsm-decimal ] || more+=(--key_format=decimal)
    [ "$1" != tinylsm-blobs ] || more+=(--blob_bytes=1024)
    cmd=("$TINYLSM" bench "${common[@]}" --compression=lz4 "${more[@]}")
    ;;
  leveldb)
    cmd=("$LEVELDB_DB_BENCH" "${common[@]}" --compression=1)
    ;;
  rocksdb)
    cmd=("$ROCKSDB_DB_BENCH" "${common[@]}" --key_size=16
      --compression_type=lz4 --max_background_jobs=2)
    ;;
  esac
}

# run ROW BENCHMARKS [name=value]...: runs it, and keeps the last result of the
# last benchmark as ROW. Names: num reads vs threads existing cache cold.
run() {
  local row=$1 benchmarks=$2 n=$num reads='' vs=$value threads=1 existing=1
  local c=$cache cold='' arg
  shift 2
  for arg in "$@"; do
    case $arg in
    num=*) n=${arg#*=} ;;
    reads=*) reads=${arg#*=} ;;
    vs=*) vs=${arg#*=} ;;
    threads=*) threads=${arg#*=} ;;
    existing=*) existing=${arg#*=} ;;
    cache=*) c=${arg#*=} ;;
    cold=*) cold=${arg#*=} ;;
    esac
  done
  if [ -n "$cold" ]; then
    sync
    if ! echo 3 2>/dev/null >/proc/sys/vm/drop_caches; then
      return 0
    fi
  fi
  # LevelDB divides the number of synced writes by 1000.
  if [ "$engine" = leveldb ] && [ "$benchmarks" = fillsync ]; then
    n=$((n * 1000))
  fi
  command_line "$engine" "$benchmarks" "$n" "${reads:-$n}" "$vs" "$threads" \
    "$existing" "$c"
  if ! "${cmd[@]}" >"$log" 2>&1; then
    echo "kv.sh: $engine failed: ${cmd[*]}" >&2
    tail -n 5 "$log" >&2
    echo "$round $engine $row failed" >>"$results"
    return 0
  fi
  [ "$row" = - ] || tr '\r' '\n' <"$log" |
    awk -v name="${benchmarks##*,}" -v threads="$threads" \
      -v pre="$round $engine $row" '
      $1 == name && / micros\/op/ {
        us = ops = 0
        for (i = 2; i <= NF; i++) {
          if ($i ~ /^micros\/op/) us = $(i - 1)
          if ($i == "ops/sec") ops = $(i - 1)
        }
        if (!ops && us > 0) ops = threads * 1e6 / us
      }
      END { print pre, (ops > 0 ? ops : "failed") }' >>"$results"
}

set_fill() {
  run fillseq fillseq existing=0
  run fillrandom fillrandom existing=0
  run overwrite overwrite
}

# Every key is there, written in random order last.
load() {
  run - fillseq existing=0
  run - overwrite
  run - compact
}

set_read() {
  local r=$((num / 2))
  load
  run readrandom readrandom,readrandom reads=$r
  run readrandom-64M-cache readrandom,readrandom reads=$r cache=$((64 << 20))
  run readmissing readmissing,readmissing reads=$r
  run seekrandom seekrandom,seekrandom reads=$((r / 2))
  run readseq readseq,readseq
  run readreverse readreverse,readreverse
  run readrandom-cold readrandom reads=$((r / 100 + 1)) cache=$((64 << 20)) \
    cold=1
  run readseq-cold readseq cache=$((64 << 20)) cold=1
  run readrandom-4-threads readrandom,readrandom reads=$((r / 4)) threads=4
  run readwhilewriting readwhilewriting reads=$((r / 2))
}

set_threads() {
  run fillrandom-4-threads fillrandom num=$((num / 4)) threads=4 existing=0
  run readwhilewriting-3-threads readwhilewriting reads=$((num / 16)) \
    threads=3
}

set_sync() {
  run fillsync fillsync num=3000 existing=0
  run fillsync-4-threads fillsync num=2000 threads=4 existing=0
}

set_large() {
  local n=$((num / 20))
  run fillrandom-4K fillrandom num=$n vs=4096 existing=0
  run fillseq-4K fillseq num=$n vs=4096 existing=0
  run readrandom-4K readrandom,readrandom num=$n reads=$((n / 2)) vs=4096 \
    cache=$((1 << 30))
  run readseq-4K-cold readseq num=$n vs=4096 cache=$((64 << 20)) cold=1
  n=$((n / 16))
  run fillrandom-64K fillrandom num=$n vs=65536 existing=0
  run readrandom-64K readrandom,readrandom num=$n reads=$((n * 4)) vs=65536 \
    cache=$((1 << 30))
  run readseq-64K-cold readseq num=$n vs=65536 cache=$((64 << 20)) cold=1
}

set_del() {
  load
  run deleterandom deleterandom
  run readseq-after-deletes readseq
}

# Medians and ratios; the first peer is what the others are compared with.
table() {
  awk -v engines="${engines[*]}" '
    function median(key, n, i, j, t, a) {
      n = split(all[key], a, " ")
      if (!n) return -1
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) {
          t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
        }
      return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    function comma(x, s, out) {
      s = sprintf("%.0f", x)
      while (length(s) > 3) {
        out = "," substr(s, length(s) - 2) out
        s = substr(s, 1, length(s) - 3)
      }
      return s out
    }
    $4 != "failed" { all[$2, $3] = all[$2, $3] " " $4 }
    !($3 in seen) { seen[$3] = 1; row[++rows] = $3 }
    END {
      n = split(engines, e, " ")
      line = "| workload |"; rule = "|---|"
      for (i = 1; i <= n; i++) { line = line " " e[i] " |"; rule = rule "---:|" }
      for (i = 2; i <= n; i++) {
        if (e[i] ~ /^tinylsm/) continue
        line = line " tinylsm / " e[i] " |"; rule = rule "---:|"
      }
      print line; print rule
      for (r = 1; r <= rows; r++) {
        line = "| " row[r] " |"
        for (i = 1; i <= n; i++) {
          m = median(e[i] SUBSEP row[r])
          line = line " " (m < 0 ? "-" : comma(m)) " |"
        }
        for (i = 2; i <= n; i++) {
          if (e[i] ~ /^tinylsm/) continue
          own = e[i] == "leveldb" ? "tinylsm-decimal" : "tinylsm"
          ours = median(own SUBSEP row[r])
          m = median(e[i] SUBSEP row[r])
          line = line " " (m <= 0 || ours < 0 ? "-" : sprintf("%.2f", ours / m)) " |"
        }
        print line
      }
    }' "$results"
}

echo "Engines, operations a second, medians of $rounds interleaved rounds."
echo "$num keys of 16 bytes, values of $value bytes that compress to half," \
  "$((wbuf >> 20)) MiB write buffer, $((cache >> 20)) MiB cache, 10-bit" \
  "filters."
echo
echo "Machine: $(machine)"
echo

for ((round = 1; round <= rounds; round++)); do
  for set in ${sets//,/ }; do
    if ! declare -F "set_$set" >/dev/null; then
      echo "kv.sh: there is no set '$set'" >&2
      exit 2
    fi
    for ((k = 0; k < ${#engines[@]}; k++)); do
      engine=${engines[$(((k + round - 1) % ${#engines[@]}))]}
      [ "$engine" != tinylsm-blobs ] || [ "$set" = large ] || continue
      [ ! -t 2 ] || printf '\rround %d, %s, %s\033[K' "$round" "$set" \
        "$engine" >&2
      rm -rf "$work/db"
      sync
      touch_memory
      "set_$set"
      rm -rf "$work/db"
    done
  done
done
[ ! -t 2 ] || printf '\r\033[K' >&2
table
if grep -q ' failed$' "$results"; then
  echo
  echo "Not measured (see stderr):"
  awk '$4 == "failed" { print "- " $2 ", " $3 ", round " $1 }' "$results"
  exit 1
fi
