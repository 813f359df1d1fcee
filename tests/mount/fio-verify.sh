#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fio-verify.sh - what fio wrote is what it reads, by CRC-32C: sequential,
# random, mixed block sizes, through the page cache and around it, four jobs at
# once; and again after a remount.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program fio
set_up
mount_fs || bail "cannot mount"

size=${FIO_SIZE:-24m}
seed=${TEST_SEED:-$RANDOM}
echo "# seed $seed"

jobs=()
run_fio() { # write|verify, name, options...
	local what=$1 name=$2 mode=()

	shift 2
	if [ "$what" = verify ]; then
		mode=(--verify_only)
	else
		mode=(--do_verify=1)
	fi
	(cd "$work" && fio --name="$name" --directory="$mnt" \
		--filename_format="$name.\$jobnum" --size="$size" \
		--ioengine=psync --verify=crc32c --verify_fatal=1 \
		--randseed="$seed" --fallocate=none --end_fsync=1 \
		--verify_state_save=0 "${mode[@]}" "$@")
}

one() { # description, name, options...
	local what=$1

	shift
	check "$what" run_fio write "$@"
	jobs+=("$what|$*")
}

for direct in 0 1; do
	d="direct=$direct"
	one "sequential, 1 MiB, $d" seq1m-$direct \
		--rw=write --bs=1m --direct=$direct
	one "sequential, 4 KiB, $d" seq4k-$direct \
		--rw=write --bs=4k --direct=$direct
	one "random, 4 KiB, $d" rand4k-$direct \
		--rw=randwrite --bs=4k --direct=$direct
	one "random, 4 KiB to 256 KiB, $d" mixed-$direct \
		--rw=randwrite --bsrange=4k-256k --bs_unaligned=0 \
		--blockalign=4k --direct=$direct
	one "four jobs, random, 16 KiB, $d" jobs-$direct \
		--rw=randwrite --bs=16k --numjobs=4 --direct=$direct
done
# Such offsets need not reach the end of the file: it is laid out first.
one "random, odd sizes through the cache" odd --overwrite=1 \
	--rw=randwrite --bsrange=512-70000 --bs_unaligned=1
one "random, 4 KiB, by mmap" mmap --rw=randwrite --bs=4k --ioengine=mmap

# Each has a part of the file; without the option the kernel runs one at a time.
in_parts=(--rw=randwrite --bsrange=4k-64k --blockalign=4k --numjobs=4 --direct=1
	--filename_format=parts --offset_increment="$size")
one "four jobs on one file, around the cache" parts "${in_parts[@]}"
check "mount for parallel direct writes" \
	remount_fs -o parallel_direct_writes
one "four jobs on one file in parallel" parts "${in_parts[@]}"
one "sequential, 1 MiB, parallel direct writes" seq1m-p \
	--rw=write --bs=1m --direct=1
one "random, odd sizes through the cache, file opened both ways" odd-p \
	--overwrite=1 --rw=randwrite --bsrange=512-70000 --bs_unaligned=1
written_directly() {
	local before

	dd if=/dev/urandom of="$mnt/times" bs=4096 count=4 oflag=direct &&
		before=$(stat -c %y "$mnt/times") && sleep 0.1 &&
		dd if=/dev/urandom of="$mnt/times" bs=4096 count=1 \
			oflag=direct conv=notrunc &&
		[ "$(stat -c %y "$mnt/times")" != "$before" ]
}
check "a direct write changes the time" written_directly

check "remount" remount_fs
for job in "${jobs[@]}"; do
	read -r -a words <<<"${job#*|}"
	check "after a remount: ${job%%|*}" run_fio verify "${words[@]}"
done
finish
