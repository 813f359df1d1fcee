#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# space.sh - what is deleted is gone at once, however large it was: unlink,
# truncate and punching a hole return within SPACE_MS (10) milliseconds, df and
# du say so right then, and the store's directory shrinks by itself within
# SPACE_SECONDS (30).
#
# Each call is made on SPACE_FILES (3) files, and the fastest counts, as others
# may use the machine. SPACE_MIB (64) is the size of a dense file, the one of a
# sparse one SPACE_SPARSE_MIB (4096), with 4 KiB of data every SPACE_STEP_KIB
# (256). At full size:
#
#   SPACE_FILES=1 SPACE_MIB=10240 SPACE_SPARSE_MIB=102400 tests/mount/space.sh

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
files=${SPACE_FILES:-3}
dense=${SPACE_MIB:-64}
sparse=${SPACE_SPARSE_MIB:-4096}
step=${SPACE_STEP_KIB:-256}
limit_ms=${SPACE_MS:-10}
limit_s=${SPACE_SECONDS:-30}
ops=${SPACE_OPS:-$top_builddir/tests/mount/space_ops}
[ -x "$ops" ] || need_program cc
set_up
if [ ! -x "$ops" ]; then
	ops=$work/space_ops
	cc -std=gnu11 -O2 -D_GNU_SOURCE "$test_dir/space_ops.c" -o "$ops" ||
		bail "cannot build space_ops"
fi
data_kib=$((3 * files * (dense * 1024 + sparse * 4096 / step)))
room_kib=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
[ "$room_kib" -gt $((2 * data_kib)) ] ||
	skip_all "needs $((2 * data_kib / 1024)) MiB of room"
# A limit that the disk can hold is what df counts from: exact, whatever else
# happens on the disk.
mount_fs -o memory=64M,size=$((data_kib / 1024 + 64))M ||
	bail "cannot mount"

free_kib() {
	df -Pk "$mnt" | awk 'NR == 2 { print $4 }'
}

file_kib() {
	du -k "$1" | cut -f1
}

store_kib() {
	du -sk "$store" | cut -f1
}

# One call on all files of a kind: in time, and what df and du say is what the
# call took away.
takes_no_time() { # first letter of the names, KiB each gives back, words of ops
	local i name best=999999999 us before du_before freed

	for ((i = 0; i < files; i++)); do
		name=$mnt/$1$i
		before=$(free_kib)
		du_before=$(file_kib "$name")
		us=$("$ops" "$3" "$name" "${@:4}") || return 1
		freed=$(($(free_kib) - before))
		echo "$name: $us us, df has $freed KiB more, $2 expected"
		# An unlinked file gives back what its inode counts for, too.
		[ "$freed" -ge "$2" ] && [ "$freed" -le $(($2 + 4)) ] || return 1
		if [ "$3" != unlink ]; then
			[ $((du_before - $(file_kib "$name"))) -eq "$2" ] ||
				return 1
		fi
		[ "$us" -ge "$best" ] || best=$us
	done
	echo "# $3: $best us" >&3
	[ "$best" -lt $((limit_ms * 1000)) ]
}

shrinks() { # to KiB
	local start=$SECONDS now

	while :; do
		now=$(store_kib)
		if [ "$now" -le "$1" ]; then
			echo "# $((now / 1024)) MiB after" \
				"$((SECONDS - start)) s" >&3
			return 0
		fi
		if [ $((SECONDS - start)) -ge "$limit_s" ]; then
			echo "$now KiB after $limit_s s, expected $1"
			return 1
		fi
		sleep 1
	done
}

exec 3>&1
for ((i = 0; i < files; i++)); do
	for name in a b c; do
		"$ops" dense "$mnt/$name$i" "$dense" $((3 * i + 1)) ||
			bail "cannot write"
	done
	for name in d e f; do
		"$ops" sparse "$mnt/$name$i" "$sparse" "$step" ||
			bail "cannot write"
	done
done
full_kib=$(store_kib)
echo "# the store has $((full_kib / 1024)) MiB"

dense_kib=$((dense * 1024))
sparse_kib=$((sparse * 4096 / step))
check "unlink of $dense MiB" takes_no_time a $dense_kib unlink
check "truncate of $dense MiB to a quarter" \
	takes_no_time b $((dense_kib * 3 / 4)) truncate $((dense / 4))
check "a hole of half of $dense MiB" \
	takes_no_time c $((dense_kib / 2)) punch $((dense / 4)) \
	$((dense * 3 / 4))
check "unlink of a sparse file of $sparse MiB" \
	takes_no_time d $sparse_kib unlink
check "truncate of a sparse file to a quarter" \
	takes_no_time e $((sparse_kib * 3 / 4)) truncate $((sparse / 4))
check "a hole in a sparse file" \
	takes_no_time f $((sparse_kib / 2)) punch $((sparse / 4)) \
	$((sparse * 3 / 4))
live_kib=$((files * (dense_kib * 3 / 4 + sparse_kib * 3 / 4)))
# The logs keep what is reserved for them, and half more than what lives is the
# garbage that is left alone.
check "the store shrinks by itself" \
	shrinks $((live_kib * 3 / 2 + 64 * 1024))
for ((i = 0; i < files; i++)); do
	rm "$mnt/b$i" "$mnt/c$i" "$mnt/e$i" "$mnt/f$i" || bail "cannot delete"
done
check "and to nearly nothing when all is deleted" shrinks $((64 * 1024))
check "unmount" unmount_fs
check "the store is clean" fsck_store
finish
