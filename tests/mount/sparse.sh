#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# sparse.sh - files with holes on the mount: what the kernel, cp and tar make of
# fallocate, SEEK_HOLE and SEEK_DATA, and copy_file_range; above all that data
# which is still in the page cache is never taken for a hole.

# Functions are called by check; inner shells expand what is in single quotes.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program xfs_io cmp tar
set_up

# The blocks and the size of a file are so many.
is() { # file, blocks of 512 bytes, size
	local have

	have=$(stat -c '%b %s' "$1")
	echo "$1: $have, expected $2 $3"
	[ "$have" = "$2 $3" ]
}

# What the seeks of xfs_io print, in one line.
map_of() {
	xfs_io "${@:2}" -c "seek -a -r 0" "$1" |
		awk '/DATA|HOLE/ { printf "%s %s ", $1, $2 }'
}

map_is() { # file, map, xfs_io's options...
	local have

	have=$(map_of "$1" "${@:3}")
	echo "map: $have"
	[ "$have" = "$2 " ]
}

fails_with() { # words, command...
	local words=$1

	shift
	"$@" >"$work/out" 2>&1
	cat "$work/out"
	grep -q -- "$words" "$work/out"
}

# Data with holes on the system's filesystem, to copy from and compare with.
plain=$work/plain
truncate -s 10M "$plain"
for at in 0 17 18 90 2559; do
	head -c 4096 /dev/urandom |
		dd of="$plain" bs=4096 seek="$at" conv=notrunc status=none
done
head -c $((5 << 20)) /dev/urandom >"$work/dense"

seeks_and_fallocate() { # name of the kind of mount
	local f=$mnt/$1.file

	# Nothing is written back before the seeks: the file stays open.
	check "$1: data in the page cache is data" map_is "$f" \
		"DATA 0 HOLE 65536 DATA 1048576 HOLE 1114112" \
		-f -c "pwrite -q 0 64k" -c "pwrite -q 1m 64k"
	check "$1: also when mapped" map_is "$f" \
		"DATA 0 HOLE 65536 DATA 524288 HOLE 528384 DATA 1048576 HOLE 1114112" \
		-c "mmap 512k 4k" -c "mwrite -S 7 512k 4k"
	check "$1: and it is still there" sh -c '
		[ "$(tr -d "\0" <"$1" | wc -c)" = 135168 ]' - "$f"
	check "$1: the blocks are exact" is "$f" 264 1114112
	check "$1: a punched hole is a hole" map_is "$f" \
		"DATA 0 HOLE 4096 DATA 57344 HOLE 65536 DATA 524288 HOLE 528384 DATA 1048576 HOLE 1114112" \
		-c "fpunch 4000 57000"
	check "$1: it gives blocks back" is "$f" 160 1114112
	check "$1: punching drops what is not written back yet" map_is "$f" \
		"HOLE 0 DATA 1048576 HOLE 1114112" \
		-c "pwrite -q 0 512k" -c "fpunch 0 1m"
	check "$1: zeroing may make a file longer" \
		xfs_io -c "fzero 1m 1m" "$f"
	check "$1: and leaves no block" is "$f" 0 2097152
	check "$1: or not" xfs_io -c "fzero -k 1m 2m" "$f"
	check "$1: then the size stays" is "$f" 0 2097152
	check "$1: allocating makes a file longer" xfs_io -c "falloc 0 3m" "$f"
	check "$1: by zeros" is "$f" 0 3145728
	check "$1: allocating past the largest size is refused" \
		fails_with "File too large" \
		xfs_io -c "falloc -k 0 9223372036854775806" "$f"
	check "$1: collapsing is not offered" \
		fails_with "not supported" xfs_io -c "fcollapse 0 4096" "$f"
	rm -f "$f"
	check "$1: zeros written take no space" sh -c '
		head -c 1048576 /dev/zero >"$1"' - "$f"
	check "$1: as df and stat say" is "$f" 0 1048576
	rm -f "$f"
}

copies() { # name of the kind of mount
	local d=$mnt/$1.dir

	mkdir "$d"
	cp --sparse=always "$plain" "$d/a"
	check "$1: a sparse copy is as small" is "$d/a" 40 10485760
	check "$1: cp keeps the holes" sh -c '
		cp "$1/a" "$1/b" && cmp "$1/b" "$2"' - "$d" "$plain"
	check "$1: and as many blocks" is "$d/b" 40 10485760
	check "$1: copy_file_range of a whole file" sh -c '
		xfs_io -f -c "copy_range $2" "$1/c" && cmp "$1/c" "$2"' - \
		"$d" "$d/a"
	check "$1: has its holes" is "$d/c" 40 10485760
	cp "$work/dense" "$d/dense"
	cp "$work/dense" "$work/want"
	dd if="$work/dense" of="$work/want" bs=1000 skip=3 seek=777 count=2048 \
		conv=notrunc status=none
	# The destination's pages are cached, and partly dirty.
	cp "$work/dense" "$d/e"
	check "$1: copy_file_range at odd offsets drops cached pages" sh -c '
		cat "$1/e" >/dev/null
		xfs_io -c "pwrite -q -S 9 800k 1m" \
			-c "copy_range -s 3000 -d 777000 -l 2048000 $1/dense" \
			"$1/e" && cmp "$1/e" "$2"' - "$d" "$work/want"
	check "$1: data of the source in the page cache is copied" sh -c '
		xfs_io -f -c "pwrite -q -S 5 0 1m" -c "copy_range -d 2m -l 1m $1/f" \
			"$1/f" &&
		[ "$(tr -d "\0" <"$1/f" | wc -c)" = 2097152 ]' - "$d"
	check "$1: overlapping ranges are refused" fails_with "Invalid argument" \
		xfs_io -c "copy_range -s 0 -d 1000 -l 5000 $d/f" "$d/f"
	check "$1: tar finds the holes" sh -c '
		cd "$1" && tar -cSf - a | wc -c | {
			read -r n; echo "$n bytes"; [ "$n" -lt 100000 ]; }' - "$d"
	check "$1: and makes them" sh -c '
		cd "$1" && mkdir x && tar -cSf - a | tar -xSf - -C x &&
		cmp x/a "$2" && [ "$(stat -c %b x/a)" = 40 ]' - "$d" "$plain"
}

setuid_goes() { # words of xfs_io, file
	chmod 6755 "$2"
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		xfs_io -c "$1" "$2"
	stat -c %a "$2"
	[ "$(stat -c %a "$2")" = 755 ]
}

check "mount" mount_fs || bail "cannot mount"
seeks_and_fallocate writeback
copies writeback
if is_root && command -v setpriv >/dev/null && chmod 755 "$work"; then
	chmod 777 "$mnt"
	cp "$work/dense" "$mnt/set"
	chown 65534:65534 "$mnt/set"
	for op in "falloc 0 10m" "fpunch 0 4096" \
		"copy_range -s 0 -d 1m -l 1m $mnt/set"; do
		check "${op%% *} by another clears setuid" \
			setuid_goes "$op" "$mnt/set"
	done
else
	skip "fallocate clears setuid" "needs root and setpriv"
fi
check "remount" remount_fs
check "the copies are there" cmp "$mnt/writeback.dir/b" "$plain"
check "with their holes" is "$mnt/writeback.dir/b" 40 10485760
check "mount single-threaded" remount_fs -s
seeks_and_fallocate single
check "mount without a writeback cache" remount_fs -o no_writeback_cache
seeks_and_fallocate through
copies through
check "unmount" unmount_fs
check "the store is clean" fsck_store
finish
