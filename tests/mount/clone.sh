#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# clone.sh - copying a file on the mount shares its data: it takes a fraction of
# a second and next to no room, cp does it without being told, and the copy is
# whole when the source has been deleted and what it left was collected.
#
# CLONE_MB: size of the file, 256; 1024 shows what doc/BENCHMARKS.md says.

# Functions are called by check; inner shells expand what is in single quotes.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program xfs_io cmp sha256sum
set_up

mb=${CLONE_MB:-256}
kib=$((mb * 1024))

store_kib() {
	du -sk "$store" | cut -f1
}

# Kilobytes of a column of df on the mount.
df_kib() { # used, avail
	df -k --output="$1" "$mnt" | tail -n 1
}

sum_of() {
	sha256sum <"$1"
}

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# A number that tinylsm info prints in a line of the store's, not mounted.
values_mib() {
	"$TINYLSM" info "$store" |
		sed -n 's/^blob files .*holding \([0-9.]*\) \([MG]iB\) of values.*/\1 \2/p' |
		awk '{ print int($2 == "GiB" ? $1 * 1024 : $1) }'
}

# The store has grown by at most so many KiB since $1.
grown_less() { # KiB before, KiB
	local have

	have=$(store_kib)
	echo "$1 KiB, now $have"
	[ "$have" -le $(($1 + $2)) ]
}

same_sum() { # file
	[ "$(sum_of "$1")" = "$want" ]
}

shrinks_below() { # KiB, seconds
	local i

	for ((i = 0; i < $2 * 5; i++)); do
		[ "$(store_kib)" -gt "$1" ] || return 0
		sleep 0.2
	done
	store_kib
	return 1
}

check "mount" mount_fs || bail "cannot mount"
check "write $mb MiB that do not compress" \
	dd if=/dev/urandom of="$mnt/a" bs=1M count="$mb" status=none
want=$(sum_of "$mnt/a")
check "unmount" unmount_fs
values=$(values_mib)
check "mount again" mount_fs
before=$(store_kib) # with the log, which has its room from the start

used=$(df_kib used)
avail=$(df_kib avail)
start=$(now_ms)
check "copy_file_range of all of it" \
	xfs_io -f -c "copy_range $mnt/a" "$mnt/b"
took=$(($(now_ms) - start))
echo "# $mb MiB copied in $took ms"
# A machine with other things to do gets a second for each 256 MiB.
check "takes no time" [ "$took" -le $((1000 + mb * 4)) ]
check "takes no room" grown_less "$before" $((kib / 10 + 2048))
check "st_blocks are those of the source" \
	[ "$(stat -c '%s %b' "$mnt/a")" = "$(stat -c '%s %b' "$mnt/b")" ]
check "df counts the blocks of both files" \
	[ $(($(df_kib used) - used)) -eq "$kib" ]
check "and as much is free as before" \
	[ $((avail - $(df_kib avail))) -le $((kib / 10 + 2048)) ]

start=$(now_ms)
check "cp" cp --reflink=auto "$mnt/b" "$mnt/c"
echo "# $mb MiB copied by cp in $(($(now_ms) - start)) ms"
check "shares too" grown_less "$before" $((kib / 5 + 4096))
if command -v strace >/dev/null && strace -o "$work/trace" true 2>/dev/null
then
	check "as it asks for copy_file_range" sh -c '
		strace -o "$2/trace" -e trace=copy_file_range \
			cp --reflink=auto "$1/c" "$1/d" &&
		cat "$2/trace" && grep -q "= [1-9]" "$2/trace"' - "$mnt" "$work"
else
	skip "as it asks for copy_file_range" "strace does not work"
	cp "$mnt/c" "$mnt/d"
fi
check "every copy is whole" sh -c '
	for f in b c d; do cmp "$1/a" "$1/$f" || exit 1; done' - "$mnt"

# One side changes, and the source goes.
check "a copy is written to" \
	dd if=/dev/urandom of="$mnt/d" bs=1M count=8 seek=3 conv=notrunc \
	status=none
check "the others have not changed" same_sum "$mnt/b"
check "source and two copies are deleted" rm "$mnt/a" "$mnt/c" "$mnt/d"
check "the one that is left is whole" same_sum "$mnt/b"
check "unmount" unmount_fs
check "the store is clean" fsck_store
check "tinylsm info finds the values once" \
	[ "$(values_mib)" -le $((values + values / 10 + 16)) ]
check "mount" mount_fs
check "the copy is whole after the source was collected" same_sum "$mnt/b"
check "and when the daemon is killed after copying it" sh -c '
	cp "$1/b" "$1/e" && sync -f "$1/e"' - "$mnt"
kill_daemon
check "mount" mount_fs
check "the copy of the copy is whole" same_sum "$mnt/e"
check "both are deleted" rm "$mnt/b" "$mnt/e"
check "mount again" remount_fs
check "the space is back" shrinks_below $((before - kib + kib / 8)) 60
check "unmount" unmount_fs
check "the store is clean" fsck_store
finish
