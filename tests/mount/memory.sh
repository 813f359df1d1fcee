#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# memory.sh - what the daemon holds in memory at its peak is its budget, and at
# most 64 MiB more: after writing and reading a file larger than the budget,
# after random direct reads and writes, after many small files.
#
# MEMORY_MB: the size of the file (default 640; 256 MiB is the budget, the
# default of the mount). MEMORY_OPTIONS: more options of the mount.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program fio
set_up
mount_fs ${MEMORY_OPTIONS:+-o "$MEMORY_OPTIONS"} || bail "cannot mount"

size=${MEMORY_MB:-640}
bound=$((256 + 64))

field() { # name
	awk -v name="$1:" '$1 == name { print int($2 / 1024) }' \
		"/proc/$daemon_pid/status"
}

within_bound() {
	local peak

	peak=$(field VmHWM)
	echo "# peak $peak MiB, now $(field VmRSS) MiB" >&3
	[ "$peak" -le "$bound" ] || {
		echo "the daemon held $peak MiB, more than $bound"
		return 1
	}
}

run_fio() { # options...
	(cd "$work" && fio --name=load --filename="$mnt/file" \
		--size="${size}m" --ioengine=psync --fallocate=none \
		--randseed="${TEST_SEED:-1}" --buffer_compress_percentage=50 \
		"$@" >"$work/fio" 2>&1) || {
		tail -n 20 "$work/fio"
		return 1
	}
}

write_file() {
	run_fio --rw=write --bs=1m --end_fsync=1
	within_bound
}

read_file() {
	echo 1 >/proc/sys/vm/drop_caches 2>/dev/null
	run_fio --rw=read --bs=1m && within_bound
}

random_io() { # randread, randwrite or randrw; jobs
	run_fio --rw="$1" --bs=4k --direct=1 --numjobs="$2" --group_reporting \
		--time_based --runtime="${MEMORY_SECONDS:-8}" && within_bound
}

mixed_sizes() {
	run_fio --rw=randrw --bsrange=4k-1m --direct=1 --numjobs=4 \
		--time_based --runtime="${MEMORY_SECONDS:-8}" && within_bound
}

small_files() {
	local d pids=()

	for d in 1 2 3 4; do
		mkdir "$mnt/d$d" || return
		(
			cd "$mnt/d$d" || exit
			for ((i = 0; i < 5000; i++)); do
				echo "$d $i" >"f$i" || exit
			done
		) &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ "$(find "$mnt" -type f -name 'f*' ! -name file | wc -l)" -eq 20000 ] &&
		cat "$mnt"/d?/f1* >/dev/null && within_bound
}

exec 3>&1
check "writing a file of $size MiB stays within $bound MiB" write_file
check "reading it too" read_file
check "random direct reads too" random_io randread 4
check "random direct writes too" random_io randwrite 4
check "both, of all sizes, too" mixed_sizes
check "many small files too" small_files
check "reading the file again too" read_file
finish
