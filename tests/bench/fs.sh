#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fs.sh: the mounted filesystem beside others on the same disk, as markdown.
#
#   fs.sh [-n rounds] [-N files] [-S MiB] [-t seconds] [-g groups] [-d dir]
#         [-o file]
#
# Compares tinylsmfs with a plain directory of the host's filesystem, with
# fuse2fs (ext4 in an image) and ntfs-3g when they are installed, with libfuse's
# passthrough_hp copying every byte, which is what the transport itself allows
# (when PASSTHROUGH_HP names it), and with rocksdb-fuse, a filesystem on RocksDB
# (when ROCKSDB_FUSE names it). Each gets a fresh store for each group in each
# round, and the order changes from round to round. Prints medians, and how much
# better (above 1) or worse tinylsmfs is.
#
# Groups:
#   fio    one file of -S MiB (512): sequential 1 MiB blocks, random 4 KiB
#          blocks for -t seconds (5) each; what writes ends with fsync
#   meta   -N (20000) empty files in one directory, then a tree of a tenth as
#          many files of 4 KiB in directories of 100
#
# "cold": unmounted, caches dropped, mounted again. Needs root and /dev/fuse.
# TINYLSMFS names the daemon (default ./tinylsmfs), TINYLSMFS_OPTIONS its
# options, FSOPS the compiled fsops.c (else it is compiled with CC).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"
TINYLSMFS=${TINYLSMFS:-./tinylsmfs}
rounds=3 files=20000 mib=512 secs=5 groups=fio,meta dir='' raw=''

usage() {
  echo "usage: fs.sh [-n rounds] [-N files] [-S MiB] [-t seconds]" \
    "[-g groups] [-d dir] [-o file]" >&2
  exit 2
}
while getopts n:N:S:t:g:d:o: opt; do
  case $opt in
  n) rounds=$OPTARG ;;
  N) files=$OPTARG ;;
  S) mib=$OPTARG ;;
  t) secs=$OPTARG ;;
  g) groups=$OPTARG ;;
  d) dir=$OPTARG ;;
  o) raw=$OPTARG ;;
  *) usage ;;
  esac
done
[ $OPTIND -gt $# ] || usage
if [ "$(id -u)" -ne 0 ] || [ ! -c /dev/fuse ]; then
  echo "fs.sh: needs root and /dev/fuse" >&2
  exit 1
fi

work=$(mktemp -d "${dir:-${TMPDIR:-/var/tmp}}/tinylsm-fs-XXXXXX")
store=$work/store base=$work/mnt at='' pid=''
mkdir "$base"
cleanup() {
  if mountpoint -q "$base"; then
    umount "$base" || umount -l "$base" || true
  fi
  if [ -n "$pid" ]; then
    wait_end || kill "$pid" || true
  fi
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
results=${raw:-$work/results}
: >"$results"

fsops=${FSOPS:-${TEST_TOOLS:-/nowhere}/tests/bench/fsops}
if [ ! -x "$fsops" ]; then
  fsops=$work/fsops
  "${CC:-cc}" -std=gnu11 -O2 -D_GNU_SOURCE -o "$fsops" "$here/fsops.c"
fi

contenders=(tinylsmfs host)
command -v fuse2fs >/dev/null && contenders+=(fuse2fs)
[ -z "${PASSTHROUGH_HP:-}" ] || contenders+=(passthrough_hp)
command -v ntfs-3g >/dev/null && contenders+=(ntfs-3g)
[ -z "${ROCKSDB_FUSE:-}" ] || contenders+=(rocksdb-fuse)
has_fio=yes
command -v fio >/dev/null || has_fio=

# ---- stores -------------------------------------------------------------------

# The daemon's process ends some time after umount returned.
wait_end() {
  local i
  for ((i = 0; i < 600; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    return 1
  fi
  wait "$pid" 2>/dev/null || true
  pid=''
}

prepare() {
  rm -rf "$store"
  mkdir "$store"
  case $contender in
  fuse2fs)
    truncate -s 8G "$store/img"
    mke2fs -q -F -t ext4 "$store/img"
    ;;
  ntfs-3g)
    truncate -s 8G "$store/img"
    mkntfs -Q -q -F "$store/img" >>"$work/log" 2>&1
    ;;
  host | passthrough_hp | rocksdb-fuse) mkdir "$store/d" ;;
  esac
}

attach() {
  local i
  # shellcheck disable=SC2086 # options are to be split
  case $contender in
  host)
    at=$store/d
    return 0
    ;;
  tinylsmfs)
    "$TINYLSMFS" "$store/vol" "$base" -f ${TINYLSMFS_OPTIONS:-} \
      >>"$work/log" 2>&1 &
    ;;
  fuse2fs) fuse2fs "$store/img" "$base" -f -o rw >>"$work/log" 2>&1 & ;;
  ntfs-3g)
    ntfs-3g -o big_writes,no_detach "$store/img" "$base" >>"$work/log" 2>&1 &
    ;;
  rocksdb-fuse) # goes into the background whatever it is told
    "$ROCKSDB_FUSE" --dbpath="$store/d" -f "$base" >>"$work/log" 2>&1 || true
    ;;
  passthrough_hp)
    "$PASSTHROUGH_HP" --foreground --nopassthrough "$store/d" "$base" \
      >>"$work/log" 2>&1 &
    ;;
  esac
  pid=$!
  [ "$contender" != rocksdb-fuse ] ||
    pid=$(pgrep -nf -- "--dbpath=$store/d -f" || true)
  at=$base
  for ((i = 0; i < 300; i++)); do
    mountpoint -q "$base" && return 0
    if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
      break
    fi
    sleep 0.1
  done
  echo "fs.sh: $contender does not mount:" >&2
  tail -n 5 "$work/log" >&2
  keep mount - ''
  return 1
}

detach() {
  [ -n "$pid" ] || return 0
  if mountpoint -q "$base"; then
    umount "$base"
  fi
  wait_end
}

cold() {
  detach
  sync
  echo 3 >/proc/sys/vm/drop_caches
  attach || return
  echo 3 >/proc/sys/vm/drop_caches
  touch_memory
}

# ---- measuring ------------------------------------------------------------------

# keep ROW UNIT VALUE: unit us means that less is better.
keep() {
  echo "$round $contender $1 $2 ${3:-failed}" >>"$results"
}

# job ROW read|write mib|iops OPTIONS...: the fields of fio's terse output, 3.
job() {
  local row=$1 side=$2 unit=$3 field value=''
  shift 3
  case $side-$unit in
  read-mib) field=7 ;;
  read-iops) field=8 ;;
  write-mib) field=48 ;;
  write-iops) field=49 ;;
  esac
  if fio --minimal --terse-version=3 --name=t --filename="$at/fio.dat" \
    --size="${mib}M" --ioengine=psync --group_reporting \
    --buffer_compress_percentage=50 --randrepeat=1 "$@" \
    >"$work/fio" 2>>"$work/log"; then
    value=$(awk -F';' -v f=$field -v u="$unit" '$1 == 3 {
      printf "%.1f", u == "mib" ? $f / 1024 : $f }' "$work/fio")
  fi
  case $unit in
  mib) keep "$row" MiB/s "$value" ;;
  iops) keep "$row" IOPS "$value" ;;
  esac
}

group_fio() {
  local timed=(--bs=4k --time_based --runtime="$secs")
  if [ -z "$has_fio" ]; then
    return 0
  fi
  job seq-write-1M-random-bytes+fsync write mib --rw=write --bs=1M \
    --end_fsync=1 --buffer_compress_percentage=0
  rm -f "$at/fio.dat"
  job write-512 write iops --rw=write --bs=512 --size=16M
  rm -f "$at/fio.dat"
  sync
  job seq-write-1M+fsync write mib --rw=write --bs=1M --end_fsync=1
  cold || return 0
  job seq-read-1M-cold read mib --rw=read --bs=1M
  cold || return 0
  job rand-read-4K-cold read iops --rw=randread "${timed[@]}"
  job rand-read-4K-direct read iops --rw=randread --direct=1 "${timed[@]}"
  job rand-read-4K-direct-4-jobs read iops --rw=randread --direct=1 \
    --numjobs=4 "${timed[@]}"
  job rand-write-4K+fsync write iops --rw=randwrite --end_fsync=1 \
    "${timed[@]}"
  job rand-write-4K-direct write iops --rw=randwrite --direct=1 "${timed[@]}"
  job rand-write-4K-fsync-each write iops --rw=randwrite --fsync=1 \
    "${timed[@]}"
}

# ops ROW rate|p50 PHASE FILES PER_DIR [BYTES]
ops() {
  local row=$1 what=$2 phase=$3 out=''
  shift 3
  out=$("$fsops" "$phase" "$at/ops" "$@" 2>>"$work/log") || out=''
  # shellcheck disable=SC2086 # five words
  set -- $out
  if [ "$what" = rate ]; then
    keep "$row" ops/s "${2:-}"
  else
    keep "$row" us "${4:-}"
  fi
}

group_meta() {
  local small=$((files / 10))
  mkdir "$at/ops"
  ops create-empty rate create "$files" 0
  ops stat-warm rate stat "$files" 0
  ops getattr-p50 p50 getattr 20000 0
  ops lookup-missing-p50 p50 missing "$files" 0
  cold || return 0
  ops stat-cold rate stat "$files" 0
  cold || return 0
  ops ls-l-cold rate list "$files" 0
  ops rename rate rename "$files" 0
  "$fsops" rename "$at/ops" "$files" 0 >/dev/null
  ops unlink rate unlink "$files" 0
  ops tree-create-4K rate create "$small" 100 4096
  cold || return 0
  ops tree-ls-l-cold rate list "$small" 100 4096
  cold || return 0
  ops tree-read-cold rate read "$small" 100 4096
  ops tree-unlink rate unlink "$small" 100 4096
}

table() {
  awk -v names="${contenders[*]}" '
    function median(key, n, i, j, t, a) {
      n = split(all[key], a, " ")
      if (!n) return -1
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) {
          t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
        }
      return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    function show(x) {
      return x < 0 ? "-" : sprintf(x < 100 ? "%.1f" : "%.0f", x)
    }
    function better(ours, theirs, unit) {
      if (ours <= 0 || theirs <= 0) return "-"
      return sprintf("%.2f", unit == "us" ? theirs / ours : ours / theirs)
    }
    $3 == "mount" { next }
    $5 != "failed" { all[$2, $3] = all[$2, $3] " " $5 }
    !($3 in unit) { unit[$3] = $4; row[++rows] = $3 }
    END {
      n = split(names, c, " ")
      line = "| | unit |"; rule = "|---|---|"
      for (i = 1; i <= n; i++) { line = line " " c[i] " |"; rule = rule "---:|" }
      for (i = 2; i <= n; i++) { line = line " vs " c[i] " |"; rule = rule "---:|" }
      print line; print rule
      for (r = 1; r <= rows; r++) {
        u = unit[row[r]]
        line = "| " row[r] " | " u " |"
        ours = median(c[1] SUBSEP row[r])
        for (i = 1; i <= n; i++)
          line = line " " show(median(c[i] SUBSEP row[r])) " |"
        for (i = 2; i <= n; i++)
          line = line " " better(ours, median(c[i] SUBSEP row[r]), u) " |"
        print line
      }
    }' "$results"
}

echo "Filesystems, medians of $rounds interleaved rounds; file of $mib MiB," \
  "$files files. vs: above 1, tinylsmfs is better."
echo
echo "Machine: $(machine)"
echo
[ -n "$has_fio" ] || echo "fio is not installed: group fio left out."

for ((round = 1; round <= rounds; round++)); do
  for group in ${groups//,/ }; do
    if ! declare -F "group_$group" >/dev/null; then
      echo "fs.sh: there is no group '$group'" >&2
      exit 2
    fi
    for ((k = 0; k < ${#contenders[@]}; k++)); do
      contender=${contenders[$(((k + round - 1) % ${#contenders[@]}))]}
      [ ! -t 2 ] || printf '\rround %d, %s, %s\033[K' "$round" "$group" \
        "$contender" >&2
      prepare
      touch_memory
      if attach; then
        "group_$group"
      fi
      detach
      rm -rf "$store"
      sync
    done
  done
done
[ ! -t 2 ] || printf '\r\033[K' >&2
table
if grep -q ' failed$' "$results"; then
  echo
  echo "Not measured:"
  awk '$5 == "failed" { print "- " $2 ", " $3 ", round " $1 }' "$results"
  exit 1
fi
