#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# dirty.sh - the kernel is told to begin to write back early, to gather dirty
# pages when they come scattered, and to begin early again when a large file was
# written; nothing that was written is lost over it.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
is_root || skip_all "only root may set the limits of a mount"
set_up
mount_fs || bail "cannot mount"
limit=/sys/class/bdi/$(mountpoint -d "$mnt")/max_ratio
[ -w "$limit" ] || skip_all "$limit cannot be written"
early=$(cat "$limit")
[ "$early" -lt 40 ] || skip_all "few pages may be dirty here"

write_small() {
	local i

	mkdir "$mnt/small"
	for ((i = 1; i <= 100; i++)); do
		echo "$i" >"$mnt/small/$i"
		sync "$mnt/small/$i"
	done
	cat "$mnt"/small/* | sort -n | cmp - <(seq 100)
}

limit_is() { # percent
	[ "$(cat "$limit")" -eq "$1" ] && return 0
	echo "the limit is $(cat "$limit") percent, not $1"
	return 1
}

# 4 KiB at each multiple of so many bytes.
scatter() { # file distance
	perl -e 'open(my $f, "+<", $ARGV[0]) or die "$ARGV[0]: $!\n";
		for (my $at = 0; $at < 64 << 20; $at += $ARGV[1]) {
			seek($f, $at, 0);
			print $f pack("Q", $at) x 512 or die "$!\n";
		}
		close($f) or die "$!\n"' "$@" && sync "$1"
}

stream() { # file MiB
	head -c "$2M" /dev/urandom | tee "$1" | cksum >"$work/sum" && sync "$1"
}

is_as_streamed() { # file
	cksum <"$1" | diff "$work/sum" -
}

check "a large file is written" stream "$mnt/a" 64
check "and changes nothing" limit_is "$early"
check "its data is right" is_as_streamed "$mnt/a"
check "it is changed here and there" scatter "$mnt/a" 16384
check "scattered pages are gathered" limit_is 40
check "another large file is written" stream "$mnt/b" 96
check "and has it begin early again" limit_is "$early"
check "its data is right" is_as_streamed "$mnt/b"
check "small files are written" write_small
check "and gathered too" limit_is 40
check "mount anew" remount_fs
check "the data is still there" is_as_streamed "$mnt/b"
limit=/sys/class/bdi/$(mountpoint -d "$mnt")/max_ratio
check "a new mount begins early" limit_is "$early"
finish
