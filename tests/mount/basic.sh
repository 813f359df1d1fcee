#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# basic.sh - the manners of the daemon: options, errors, signals, what happens
# when it dies, when the disk is full, when a table is damaged.

# Functions are called by check; inner shells expand what is in single quotes.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
set_up

# The command fails with this exit code and says one line with these words.
refused() { # code, words, command...
	local code=$1 words=$2 status=0

	shift 2
	timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	cat "$work/out" "$work/err"
	[ "$status" -eq "$code" ] || {
		echo "exit code $status instead of $code"
		return 1
	}
	[ "$(wc -l <"$work/err")" -eq 1 ] || {
		echo "not one line"
		return 1
	}
	grep -q -- "$words" "$work/err" || {
		echo "the line does not say: $words"
		return 1
	}
}

fails_with() { # words, command...
	local words=$1

	shift
	if "$@" >"$work/out" 2>&1; then
		echo "it succeeded"
		return 1
	fi
	cat "$work/out"
	grep -q -- "$words" "$work/out"
}

nothing_made() {
	[ ! -e "$store" ]
}

# ---- the command line ----------------------------------------------------------

check "--help explains and succeeds" \
	sh -c '"$1" --help | grep -q "^usage: tinylsmfs STORE"' - "$TINYLSMFS"
check "--version names libfuse" \
	sh -c '"$1" --version | grep -q libfuse' - "$TINYLSMFS"
check "no arguments: the store is missing" \
	refused 1 "the store is missing" "$TINYLSMFS"
check "one argument: the mount point is missing" \
	refused 1 "the mount point is missing" "$TINYLSMFS" "$store"
check "three arguments are one too many" \
	refused 1 "too many" "$TINYLSMFS" "$store" "$mnt" more
check "an unknown option is named" \
	refused 1 "unknown option 'nocraete'" \
	"$TINYLSMFS" "$store" "$mnt" -o rw,nocraete
check "an unknown switch is named" \
	refused 1 "unknown option '-q'" "$TINYLSMFS" -q "$store" "$mnt"
check "-o needs an argument" \
	refused 1 "needs an argument" "$TINYLSMFS" "$store" "$mnt" -o
check "commit= needs a value" \
	refused 1 "commit needs a value" "$TINYLSMFS" "$store" "$mnt" -o commit
check "commit= needs a number" \
	refused 1 "'soon' is not a number" \
	"$TINYLSMFS" "$store" "$mnt" -o commit=soon
check "memory= needs a size" \
	refused 1 "'12Q' is not a size" "$TINYLSMFS" "$store" "$mnt" -o memory=12Q
check "compression= knows none and lz4" \
	refused 1 "none, lz4" "$TINYLSMFS" "$store" "$mnt" -o compression=zstd
check "block_size= is a power of two" \
	refused 1 "power of two" "$TINYLSMFS" "$store" "$mnt" -o block_size=5000
check "noatime takes no value" \
	refused 1 "takes no value" "$TINYLSMFS" "$store" "$mnt" -o noatime=1

# ---- places that cannot be mounted ---------------------------------------------

check "the mount point does not exist" \
	refused 32 "does not exist" "$TINYLSMFS" "$store" "$work/missing"
echo text >"$work/file"
check "the mount point is a file" \
	refused 32 "not a directory" "$TINYLSMFS" "$store" "$work/file"
check "the store is a file" \
	refused 32 "not a directory" "$TINYLSMFS" "$work/file" "$mnt"
check "the directory of the store does not exist" \
	refused 32 "does not exist" "$TINYLSMFS" "$work/a/b/c" "$mnt"
check "nocreate makes nothing" \
	refused 32 "nocreate" "$TINYLSMFS" "$store" "$mnt" -o nocreate
check "a read-only mount makes nothing" \
	refused 32 "there is no filesystem" "$TINYLSMFS" "$store" "$mnt" -o ro
check "after all these there is no store" nothing_made
mkdir "$work/foreign"
echo precious >"$work/foreign/letter.txt"
check "a directory with other content is refused" \
	refused 32 "not a TinyLSM filesystem" "$TINYLSMFS" "$work/foreign" "$mnt"
check "and left alone" \
	sh -c '[ "$(ls -A "$1")" = letter.txt ]' - "$work/foreign"
check "a store in the mount point is refused" \
	refused 32 "lies in the mount point" "$TINYLSMFS" "$mnt/store" "$mnt"
mkdir -p "$work/outer/inner"
check "a mount point in the store is refused" \
	refused 32 "lies in the store" \
	"$TINYLSMFS" "$work/outer" "$work/outer/inner"
if is_root; then
	mkdir "$work/small"
	mount -t tmpfs -o size=64k tmpfs "$work/small"
	head -c 61440 /dev/zero >"$work/small/fill"
	check "a full disk is named" \
		refused 32 "is full" "$TINYLSMFS" "$work/small/store" "$mnt"
	umount "$work/small"
	mkdir "$work/locked"
	chmod 700 "$work/locked"
	if command -v setpriv >/dev/null; then
		chmod 755 "$work"
		check "no permission is named" \
			refused 32 "permission\|Permission" \
			setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$TINYLSMFS" "$work/locked/store" "$mnt"
	else
		skip "no permission is named" "setpriv is not installed"
	fi
else
	skip "a full disk is named" "needs root"
	skip "no permission is named" "needs root"
fi

# ---- background ------------------------------------------------------------------

lock_pid() {
	tr -dc 0-9 <"$store/LOCK"
}

check "it mounts in the background" \
	"$TINYLSMFS" "$store" "$mnt" -o label=first,block_size=4096
pid=$(lock_pid)
check "the mount works when the command returns" \
	sh -c 'echo hello >"$1/a" && [ "$(cat "$1/a")" = hello ]' - "$mnt"
check "it is a fuse.tinylsmfs, its source is the store" \
	grep -q " - fuse.tinylsmfs $store " /proc/self/mountinfo
check "a second daemon on another mount point is refused with the pid" \
	sh -c 'mkdir -p "$4/mnt2"; "$1" "$2" "$4/mnt2" 2>"$4/err" && exit 1
		cat "$4/err"; grep -q "in use.*$5" "$4/err"' \
	- "$TINYLSMFS" "$store" "$mnt" "$work" "$pid"
check "a second mount on the same place is refused" \
	refused 32 "already" "$TINYLSMFS" "$work/store2" "$mnt"
check "SIGUSR1 does no harm" \
	sh -c 'kill -USR1 "$1" && sleep 0.2 && kill -0 "$1"' - "$pid"
gone() { # pid
	local i

	for ((i = 0; i < 500; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.02
	done
	return 1
}
check "umount ends it" sh -c 'umount "$1" || fusermount3 -u "$1"' - "$mnt"
check "the process is gone soon" gone "$pid"

for signal in TERM INT HUP; do
	"$TINYLSMFS" "$store" "$mnt" || bail "cannot mount"
	pid=$(lock_pid)
	head -c 3000000 /dev/urandom >"$work/data"
	# Written and still open: in the kernel's cache when the signal comes.
	exec 9>"$mnt/by-$signal"
	cat "$work/data" >&9
	exec 9>&-
	kill "-$signal" "$pid"
	check "SIG$signal ends it" gone "$pid"
	check "SIG$signal unmounts" sh -c '! mountpoint -q "$1"' - "$mnt"
	"$TINYLSMFS" "$store" "$mnt" || bail "cannot mount"
	check "SIG$signal loses no data" cmp "$work/data" "$mnt/by-$signal"
	umount "$mnt" || fusermount3 -u "$mnt"
done

"$TINYLSMFS" "$store" "$mnt" || bail "cannot mount"
pid=$(lock_pid)
mkdir "$mnt/busy"
cd "$mnt/busy" || bail "cd"
exec 9>"$mnt/open"
cat "$work/data" >&9
kill -TERM "$pid"
check "SIGTERM ends it although the mount is busy" gone "$pid"
exec 9>&-
cd "$work" || bail "cd"
check "a busy mount is detached" sh -c '! mountpoint -q "$1"' - "$mnt"
"$TINYLSMFS" "$store" "$mnt" || bail "cannot mount"
check "data of the busy mount was flushed" cmp "$work/data" "$mnt/open"
pid=$(lock_pid)
end_process "$pid" KILL
check "a mount point whose daemon died is taken over" \
	"$TINYLSMFS" "$store" "$mnt"
check "and nothing that was closed is lost" cmp "$work/data" "$mnt/open"
umount "$mnt" || fusermount3 -u "$mnt"
check "a mount right after umount waits for the store" \
	"$TINYLSMFS" "$store" "$mnt" -o nocreate
pid=$(lock_pid)
umount "$mnt" || fusermount3 -u "$mnt"
check "the process is gone" gone "$pid"

# ---- options -----------------------------------------------------------------

check "fstab's words and the kernel's are understood" mount_fs \
	-o rw,auto,nofail,_netdev,x-systemd.automount,comment=a,defaults \
	-o noexec,nodev,nosuid,noatime,users,fsname=other,max_threads=4 \
	-o commit=1,memory=64M,nocreate
check "they reach the kernel" sh -c '
	grep " $1 .* fuse.tinylsmfs other " /proc/self/mountinfo |
	grep nosuid | grep nodev | grep noexec | grep -q noatime' - "$mnt"
cp /bin/true "$mnt/true"
check "noexec holds" fails_with "ermission denied" "$mnt/true"
check "unmount" unmount_fs
check "it runs single-threaded" mount_fs -s
check "and works" cmp "$work/data" "$mnt/open"
check "unmount again" unmount_fs
before=$(cd "$store" && stat -c '%n %s %Y' -- *)
check "it mounts read-only" mount_fs -o ro
check "reading works" cmp "$work/data" "$mnt/open"
check "writing is refused" fails_with "ead-only" touch "$mnt/new"
check "unmount the read-only mount" unmount_fs
after=$(cd "$store" && stat -c '%n %s %Y' -- *)
# The lock file names the process that has the store.
same() { [ "$(grep -v '^LOCK' <<<"$1")" = "$(grep -v '^LOCK' <<<"$2")" ]; }
check "a read-only mount changed no file of the store" same "$before" "$after"
check "without a writeback cache it works too" \
	mount_fs -o no_writeback_cache
check "and reads what it writes" sh -c '
	cp "$1" "$2/copy" && cmp "$1" "$2/copy"' - "$work/data" "$mnt"
check "unmount that" unmount_fs

if is_root && [ -x /sbin/mount.fuse3 ] && unshare -m true 2>/dev/null; then
	# mount(8) looks for the daemon in directories of its own.
	mkdir "$work/bin"
	ln -s "$TINYLSMFS" "$work/bin/tinylsmfs"
	echo "$store $mnt fuse.tinylsmfs noauto,noatime,dev,suid,nofail 0 0" \
		>"$work/fstab"
	cat >"$work/by-mount" <<'END'
mount --bind "$1/bin" /usr/local/sbin &&
	mount -T "$1/fstab" "$1/mnt" &&
	grep " $1/mnt .*noatime.* fuse.tinylsmfs $1/store " /proc/self/mountinfo &&
	cmp "$1/data" "$1/mnt/open" &&
	mount -t fuse.tinylsmfs -o remount,ro "$1/store" "$1/mnt" &&
	! touch "$1/mnt/ro" &&
	mount -t fuse.tinylsmfs -o remount,rw "$1/store" "$1/mnt" &&
	touch "$1/mnt/rw" &&
	umount "$1/mnt"
END
	check "a line of fstab, mount(8) and remount work" \
		unshare -m sh "$work/by-mount" "$work"
	gone "$(lock_pid)"
else
	skip "a line of fstab, mount(8) and remount work" \
		"needs root and mount.fuse3"
fi

# ---- limits --------------------------------------------------------------------

mount_fs || bail "cannot mount"
long=$(printf '%0255d' 7)
check "a name of 255 bytes" touch "$mnt/$long"
check "a name of 256 bytes is too long" \
	fails_with "File name too long" touch "$mnt/${long}x"
check "also for mkdir" fails_with "File name too long" mkdir "$mnt/${long}x"
check "also for a symlink" \
	fails_with "File name too long" ln -s target "$mnt/${long}x"
check "also for rename" \
	fails_with "File name too long" mv "$mnt/$long" "$mnt/${long}x"
check "also for lookup" fails_with "File name too long" stat "$mnt/${long}x"
check "a file of 4 EiB" truncate -s 4E "$mnt/huge"
check "its size" sh -c '[ "$(stat -c %s "$1/huge")" = 4611686018427387904 ]' \
	- "$mnt"
check "a file beyond that is too large" \
	fails_with "File too large" truncate -s 5E "$mnt/larger"
check "it takes no space" sh -c '[ "$(stat -c %b "$1/huge")" = 0 ]' - "$mnt"
rm -f "$mnt/huge" "$mnt/larger"

# ---- times -----------------------------------------------------------------------

# The kernel keeps them while a file is in use, the daemon for ever.
note_times() {
	local i

	mkdir "$mnt/times"
	for ((i = 0; i < 20; i++)); do
		printf '%09000d' 7 >"$mnt/times/punched$i"
		fallocate -p -o 0 -l 4096 "$mnt/times/punched$i"
		printf '%09000d' 7 >"$mnt/times/cut$i"
	done
	sync -f "$mnt"
	sleep 0.2
	perl -e 'for (@ARGV) { truncate($_, 9000) or die "$_: $!" }' \
		"$mnt"/times/cut*
	sync -f "$mnt"
	stat -c '%n %.9Y %.9Z' "$mnt"/times/* >"$work/before"
}

same_times() {
	stat -c '%n %.9Y %.9Z' "$mnt"/times/* >"$work/after"
	diff "$work/before" "$work/after"
}

check "times of files changed in all ways" note_times
check "mount anew" remount_fs
check "times are the same" same_times

# ---- open flags under the writeback cache ----------------------------------------

check "O_APPEND to a part of a page" sh -c '
	printf abc >"$1/append"; printf def >>"$1/append"
	[ "$(cat "$1/append")" = abcdef ]' - "$mnt"
check "O_WRONLY in the middle of a page" sh -c '
	printf XY | dd of="$1/append" bs=1 seek=2 conv=notrunc 2>&1
	[ "$(cat "$1/append")" = abXYef ]' - "$mnt"
chmod 200 "$mnt/append"
check "the same on a file that cannot be read" sh -c '
	printf Z | dd of="$1/append" bs=1 seek=5 conv=notrunc 2>&1
	chmod 600 "$1/append"; [ "$(cat "$1/append")" = abXYeZ ]' - "$mnt"
check "O_TRUNC empties" sh -c ': >"$1/append"; [ ! -s "$1/append" ]' - "$mnt"
check "an unlinked file lives while it is open" sh -c '
	echo still >"$1/gone"; exec 5<>"$1/gone"; rm "$1/gone"
	[ "$(cat <&5)" = still ]' - "$mnt"
if is_root && command -v setpriv >/dev/null; then
	cp /bin/true "$mnt/suid"
	chmod 6777 "$mnt/suid"
	check "a write by somebody clears setuid and setgid" sh -c '
		setpriv --reuid 65534 --regid 65534 --clear-groups \
			sh -c "echo x >>\"$1/suid\""
		[ "$(stat -c %a "$1/suid")" = 777 ]' - "$mnt"
	chmod 6777 "$mnt/suid"
	check "a truncate by somebody clears them too" sh -c '
		setpriv --reuid 65534 --regid 65534 --clear-groups \
			truncate -s 3 "$1/suid"
		[ "$(stat -c %a "$1/suid")" = 777 ]' - "$mnt"
	chmod 6777 "$mnt/suid"
	check "a write by root keeps them" sh -c '
		echo x >>"$1/suid"; [ "$(stat -c %a "$1/suid")" = 6777 ]' - "$mnt"
else
	skip "setuid and setgid are cleared" "needs root and setpriv"
fi

# ---- small writes cost no extra round trips --------------------------------------

unmount_fs || bail "cannot unmount"
requests=$work/requests
"$TINYLSMFS" "$store" "$mnt" -d >"$requests" 2>&1 &
daemon_pid=$!
for ((i = 0; i < 500; i++)); do
	mountpoint -q "$mnt" && break
	sleep 0.02
done
dd if=/dev/zero of="$mnt/small-writes" bs=4096 count=500 2>/dev/null
few() { # what, at most
	local n

	n=$(grep -c "opcode: $1 " "$requests")
	echo "$n times $1"
	[ "$n" -le "$2" ]
}
check "500 writes ask for attributes at most twice" few GETXATTR 2
check "500 writes arrive in few requests" few WRITE 20
for ((i = 0; i < 20; i++)); do
	cat "$mnt/small-writes" >/dev/null
done
check "files are opened without asking" few OPEN 1
check "what was read stays cached" few READ 5
unmount_fs || bail "cannot unmount"

# ---- a full disk -----------------------------------------------------------------

if is_root; then
	mkdir -p "$work/small"
	mount -t tmpfs -o size=96m tmpfs "$work/small"
	whole_store=$store
	store=$work/small/store
	mount_fs -o memory=16M || bail "cannot mount on a small disk"
	echo kept >"$mnt/kept"
	sync "$mnt/kept"
	check "a full disk is reported to the writer" fails_with "No space left" \
		dd if=/dev/urandom of="$mnt/fill" bs=1M count=150 conv=fsync
	check "reading goes on" sh -c '[ "$(cat "$1/kept")" = kept ]' - "$mnt"
	check "the daemon lives" daemon_alive
	check "what filled it can be deleted" rm "$mnt/fill"
	mount -o remount,size=400m "$work/small"
	# The engine tries again from time to time.
	writes_again() {
		local i

		for ((i = 0; i < 40; i++)); do
			if dd if=/dev/zero of="$mnt/again" bs=64k count=10 \
				conv=fsync 2>"$work/dd"; then
				return 0
			fi
			sleep 0.5
		done
		cat "$work/dd"
		return 1
	}
	check "with room again it writes again" writes_again
	check "the unmount is clean" unmount_fs
	check "the filesystem is sound" fsck_store
	umount "$work/small"
	store=$whole_store
else
	skip "a full disk" "needs root"
fi

# ---- a filesystem with a size --------------------------------------------------

store=$work/sized
mount_fs -o size=20M,label=sized || bail "cannot mount"
check "df shows the size" sh -c '
	[ "$(df -k --output=size "$1" | tail -n 1 | tr -d " ")" = 20480 ]' \
	- "$mnt"
check "a full filesystem is reported to the writer" fails_with "No space left" \
	dd if=/dev/urandom of="$mnt/fill" bs=1M count=30 conv=fsync
check "what filled it can be deleted" rm "$mnt/fill"
check "and its space is free at once" \
	dd if=/dev/urandom of="$mnt/again" bs=1M count=18 conv=fsync
# The daemon is gone before its store is looked at.
check "unmount it" unmount_fs
check "the options of a new filesystem are kept" \
	sh -c '"$1" info "$2" | grep -q sized' - "$TINYLSM" "$store"

# ---- a damaged table ---------------------------------------------------------------

store=$work/damaged
mount_fs -o memory=16M,compression=none || bail "cannot mount"
for ((i = 0; i < 24; i++)); do
	head -c 2000000 /dev/urandom >"$mnt/file$i"
done
sync "$mnt/file0"
unmount_fs || bail "cannot unmount"
"$TINYLSM" compact "$store" >/dev/null 2>&1
largest=$(find "$store" -type f \( -name '*.sst' -o -name '*.blob' \) \
	-printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
if [ -z "$largest" ]; then
	not_ok "there is a table to damage"
else
	offset=$(($(stat -c %s "$largest") / 2))
	byte=$(dd if="$largest" bs=1 skip=$offset count=1 2>/dev/null |
		od -An -tu1 | tr -d ' ')
	# shellcheck disable=SC2059 # the format is the byte
	printf "\\$(printf %o $((byte ^ 16)))" |
		dd of="$largest" bs=1 seek=$offset conv=notrunc 2>/dev/null
	mount_fs || bail "cannot mount a store with one damaged block"
	check "a damaged block is an input/output error, not wrong data" \
		fails_with "Input/output error" sh -c 'cat "$1"/file*' - "$mnt"
	check "the log names the file and the offset" \
		grep -q "$(basename "$largest").*[0-9]" "$log"
	check "the other files can be read" sh -c '
		n=0; for f in "$1"/file*; do
			cat "$f" >/dev/null 2>&1 && n=$((n + 1)); done
		echo "$n of 24"; [ "$n" -ge 22 ]' - "$mnt"
	check "the daemon lives on" daemon_alive
fi
finish
