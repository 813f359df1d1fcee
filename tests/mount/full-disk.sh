#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# full-disk.sh - the disk that holds the store is full: whoever writes gets
# ENOSPC, what had been written stays readable, names go on to be deletable,
# and what is deleted is room again, without a command and without a remount.
#
# The disk is a small ext4 on a loop device. FULL_MB (384) is its size.

# Functions are called by check.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program mkfs.ext4 losetup
is_root || skip_all "a loop device needs root"
set_up
disk=$work/disk
loop=

# shellcheck disable=SC2317 # called by the trap
drop_disk() {
	umount -l "$mnt" 2>/dev/null
	[ -n "$daemon_pid" ] && end_process "$daemon_pid" KILL
	umount "$disk" 2>/dev/null || umount -l "$disk" 2>/dev/null
	[ -n "$loop" ] && losetup -d "$loop"
	clean_up
}
trap drop_disk EXIT

mkdir "$disk"
truncate -s "${FULL_MB:-384}M" "$work/image"
mkfs.ext4 -q -F -m 0 "$work/image" || bail "mkfs.ext4"
loop=$(losetup -f --show "$work/image") || skip_all "no loop device"
mount "$loop" "$disk" || skip_all "ext4 cannot be mounted"
store=$disk/store
mkdir "$work/sums"

# Writes files of 1 MiB that do not compress until one fails; the error is that
# of a full disk. What was fsynced is noted with its checksum.
fill() { # directory
	local i err

	mkdir -p "$mnt/$1" || return
	for ((i = 0; i < 2000; i++)); do
		head -c 1048576 /dev/urandom >"$work/piece"
		if ! err=$(dd if="$work/piece" of="$mnt/$1/$i" bs=64k \
			conv=fsync status=none 2>&1); then
			echo "file $i: $err"
			case $err in
			*"No space left"*) return 0 ;;
			*) return 1 ;;
			esac
		fi
		md5sum <"$work/piece" >"$work/sums/$1.$i"
	done
	echo "it never became full"
	return 1
}

all_there() { # directory
	local f i n=0

	for f in "$work/sums/$1".*; do
		i=${f##*.}
		md5sum <"$mnt/$1/$i" | cmp - "$f" || return
		n=$((n + 1))
	done
	echo "$n files"
	[ "$n" -gt 20 ]
}

# Small things fail with ENOSPC or succeed, but never otherwise.
only_no_space() {
	local i err

	for ((i = 0; i < 200; i++)); do
		if err=$(sh -c 'mkdir "$1/many.$2" && echo x >"$1/many.$2/f"' \
			- "$mnt" "$i" 2>&1); then
			continue
		fi
		case $err in
		*"No space left"*) ;;
		*)
			echo "$err"
			return 1
			;;
		esac
	done
}

room() {
	df -B1 --output=avail "$disk" | tail -n 1
}

room_comes_back() { # bytes, seconds
	local i now

	for ((i = 0; i < $2 * 5; i++)); do
		now=$(room)
		[ "$now" -ge "$1" ] && return 0
		sleep 0.2
	done
	echo "$now bytes free after $2 s"
	ls -l "$store"
	tail -n 5 "$log"
	return 1
}

writes_again() { # directory, seconds
	local i

	mkdir -p "$mnt/$1"
	for ((i = 0; i < $2 * 5; i++)); do
		if head -c 1048576 /dev/urandom >"$work/piece" &&
			dd if="$work/piece" of="$mnt/$1/0" bs=64k conv=fsync \
				status=none; then
			md5sum <"$work/piece" >"$work/sums/$1.0"
			echo "after $i tries"
			return 0
		fi
		sleep 0.2
	done
	return 1
}

check "mount" mount_fs -o memory=64M || bail "cannot mount"
empty=$(room)
check "a full disk is ENOSPC" fill a
check "and nothing else for small things" only_no_space
check "all that was written can be read" all_there a
check "files can be deleted on a full disk" \
	sh -c 'cd "$1" && rm -rf many.* && ls a | awk "NR % 2" | sed s,^,a/, |
		xargs rm && ls a | wc -l' - "$mnt"
for f in "$work"/sums/a.*; do
	[ -e "$mnt/a/${f##*.}" ] || rm "$f"
done
check "half of the room comes back by itself" \
	room_comes_back $((empty * 35 / 100)) 60
check "and is written again" writes_again b 20
check "what was not deleted is there" all_there a
check "again until it is full" fill c
rm -rf "${mnt:?}/a" "$work"/sums/a.*
check "kill -9 while it is full" kill_daemon
check "the full disk mounts again" mount_fs -o memory=64M
check "all that was written is there" all_there c
check "unmount while it is full" unmount_fs
check "and it is sound" fsck_store
check "mount" mount_fs -o memory=64M
check "all can be deleted" sh -c 'rm -rf "$1"/*' - "$mnt"
check "all of the room comes back" room_comes_back $((empty * 85 / 100)) 60
check "and is written again" writes_again d 20
check "unmount" unmount_fs
check "the store is sound" fsck_store
finish
