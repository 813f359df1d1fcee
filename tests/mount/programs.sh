#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# programs.sh - programs that lean on what a filesystem promises, several at
# once: databases with concurrent writers, logs that are appended to by many
# processes, writers by mmap, asynchronous I/O; and what ends a mount while they
# are at it: umount, SIGTERM, a second daemon, a disk that cannot be written.
#
# PROGRAM_SECONDS (6) for each load.

# Functions are called by check; inner shells expand what is in single quotes.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program sqlite3 fio tar rsync
set_up
seconds=${PROGRAM_SECONDS:-6}
seed=${TEST_SEED:-$RANDOM}
echo "# seed $seed"
chmod 755 "$work"

# ---- databases -------------------------------------------------------------------

# Four processes move money; the sum stays.
bank() { # journal mode
	local db=$mnt/bank.$1 i pids=()

	sqlite3 "$db" "PRAGMA journal_mode=$1;
		CREATE TABLE a(id INTEGER PRIMARY KEY, n INT, pad BLOB);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c
			WHERE i < 300) INSERT INTO a SELECT i, 100,
			randomblob(500) FROM c;" >/dev/null || return
	for i in 1 2 3 4; do
		(
			end=$((SECONDS + seconds))
			while [ "$SECONDS" -lt "$end" ]; do
				sqlite3 "$db" ".timeout 60000" "BEGIN IMMEDIATE;
					UPDATE a SET n = n - 1, pad =
						randomblob(300 + abs(random()) % 3000)
						WHERE id = 1 + $RANDOM % 300;
					UPDATE a SET n = n + changes()
						WHERE id = 1 + $RANDOM % 300;
					COMMIT;" || exit 1
				echo x >>"$work/bank.$1.done"
			done
		) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || return
	done
	wc -l <"$work/bank.$1.done"
	bank_is_sound "$1"
}

bank_is_sound() { # journal mode
	[ "$(sqlite3 "$mnt/bank.$1" 'PRAGMA integrity_check')" = ok ] &&
		[ "$(sqlite3 "$mnt/bank.$1" 'SELECT sum(n) FROM a')" = 30000 ]
}

# pgbench is not always there; SQL by psql is not either.
postgres_runs() {
	local bin=$1 data=$mnt/pg as=(setpriv --reuid=postgres
		--regid=postgres --clear-groups env "PATH=$PATH" HOME=/)

	mkdir -p "$data" "$work/sock" && chown postgres "$data" "$work/sock" &&
		chmod 700 "$data" || return
	"${as[@]}" "$bin/initdb" -D "$data" -A trust -N >/dev/null || return
	{
		echo "CREATE TABLE t(i int primary key, v text);"
		for ((i = 0; i < 400; i++)); do
			echo "INSERT INTO t VALUES ($i, repeat(md5('$i'), 60));"
			[ $((i % 40)) -ne 39 ] || echo "CHECKPOINT;"
			[ $((i % 3)) -ne 2 ] ||
				echo "UPDATE t SET v = reverse(v) WHERE i % 7 = $((i % 7));"
		done
		echo "VACUUM FULL t;"
		echo "SELECT 'rows ' || count(*) || ' ' || sum(length(v)) FROM t;"
	} >"$work/pg.sql"
	"${as[@]}" "$bin/postgres" --single -D "$data" -c fsync=on postgres \
		<"$work/pg.sql" >"$work/pg.out" 2>"$work/pg.err" || return
	grep -q "rows 400 768000" "$work/pg.out" || {
		tail -n 5 "$work/pg.err" "$work/pg.out"
		return 1
	}
	echo "SELECT 'again ' || count(*) || ' ' || sum(length(v)) FROM t;" |
		"${as[@]}" "$bin/postgres" --single -D "$data" postgres \
			2>>"$work/pg.err" | grep -q "again 400 768000"
}

# ---- appending, mapping ----------------------------------------------------------

# Each line is one write(2) with O_APPEND: all are there, whole.
append_logs() {
	local i pids=()

	for i in 1 2 3 4 5 6; do
		(
			for ((n = 0; n < 1500; n++)); do
				echo "writer $i line $n $RANDOM end"
			done >>"$mnt/append.log"
		) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || return
	done
	[ "$(wc -l <"$mnt/append.log")" -eq 9000 ] &&
		[ "$(grep -c '^writer [1-6] line [0-9]* [0-9]* end$' \
			"$mnt/append.log")" -eq 9000 ] &&
		[ "$(awk '{ print $2, $4 }' "$mnt/append.log" | sort -u |
			wc -l)" -eq 9000 ]
}

verify_fio() { # name, options...
	local name=$1

	shift
	(cd "$work" && timeout 300 fio --name="$name" --directory="$mnt" \
		--size=16m --verify=crc32c --verify_fatal=1 --randseed="$seed" \
		--verify_state_save=0 --fallocate=none --end_fsync=1 "$@" \
		--minimal) >"$work/fio.out" 2>&1 || {
		tail -n 5 "$work/fio.out"
		return 1
	}
}

# ---- copies ------------------------------------------------------------------------

odd_tree() {
	local t=$work/odd i

	mkdir -p "$t/d" && cd "$t" || return
	for ((i = 0; i < 60; i++)); do
		truncate -s $((RANDOM * 400)) "sparse.$i"
		printf 'data %d' "$i" | dd of="sparse.$i" bs=1 conv=notrunc \
			seek=$((RANDOM * 300)) status=none
		ln "sparse.$i" "d/link.$i"
		setfattr -n user.n -v "$i" "sparse.$i"
	done
	setfacl -m u:1234:r sparse.1 && setfacl -d -m g:77:rwx d &&
		tar --sparse --xattrs --acls -cf "$work/odd.tar" . &&
		mkdir "$mnt/odd" &&
		tar -C "$mnt/odd" --xattrs --xattrs-include='*' --acls \
			-xpf "$work/odd.tar" &&
		rsync -aHAXS "$mnt/odd/" "$mnt/odd2/" &&
		[ -z "$(rsync -aHAXS --checksum -i "$t/" "$mnt/odd2/")" ] &&
		diff -r "$t" "$mnt/odd2" &&
		[ "$(stat -c %h "$mnt/odd2/sparse.3")" = 2 ]
}

check "mount" mount_fs -o memory=64M || bail "cannot mount"
check "sqlite, four writers, delete journal" bank delete
check "sqlite, four writers, write-ahead log" bank wal
pg=$(dirname "$(readlink -f "$(command -v initdb || echo /nonexistent/x)")")
if is_root && [ -x "$pg/postgres" ] && id postgres >/dev/null 2>&1; then
	check "postgres: a table, checkpoints, vacuum" postgres_runs "$pg"
else
	skip "postgres" "not installed"
fi
check "six processes append to one file" append_logs
check "fio by libaio, direct" verify_fio aio --ioengine=libaio --iodepth=16 \
	--rw=randwrite --bs=4k --direct=1
check "fio by io_uring" verify_fio uring --ioengine=io_uring --iodepth=16 \
	--rw=randwrite --bs=8k
check "fio by io_uring, direct, two jobs" verify_fio uring2 \
	--ioengine=io_uring --iodepth=8 --rw=randwrite --bs=16k --direct=1 \
	--numjobs=2
check "fio by mmap, mixed sizes" verify_fio map --ioengine=mmap --rw=randrw \
	--bsrange=4k-64k
check "fio with trims" verify_fio trim --ioengine=psync --rw=randwrite \
	--bs=4k --fsync=32
if command -v setfacl >/dev/null; then
	check "tar and rsync: sparse, linked, attributes, ACLs" odd_tree
else
	skip "tar and rsync" "setfacl is not installed"
fi
check "remount" remount_fs -o memory=64M
check "the databases are sound" sh -c 'true' && {
	check "delete journal" bank_is_sound delete
	check "write-ahead log" bank_is_sound wal
}
check "what rsync copied is the same" diff -r "$work/odd" "$mnt/odd2"

# ---- the end comes under load ----------------------------------------------------

# In a directory of the mount: without a mount there is no such directory.
# Noted before a version is written, and after its fsync. A loader ends between
# two versions, so that each note is whole.
load() { # number
	local i file

	for ((i = 1; ; i++)); do
		[ ! -e "$work/enough" ] || return 0
		file=$1.$((i % 20))
		seq "$i" $((i + 4000)) >"$work/load.$1" || return
		echo "$i" >"$work/begun.$file"
		dd if="$work/load.$1" of="$mnt/load/$file" bs=16k \
			conv=fsync status=none 2>/dev/null || return 0
		echo "$i" >"$work/noted.$file"
	done
}

# The last version is there, byte by byte; of a file whose next version was under
# way, also that one or a part of it, at the least its truncation.
loaded_is_there() {
	local f n i got checked=0

	for f in "$work"/noted.*; do
		n=${f##*noted.}
		i=$(cat "$f")
		[ -f "$mnt/load/$n" ] || {
			echo "$n is missing"
			return 1
		}
		got=$(head -n 1 "$mnt/load/$n" | tr -d '\0') || return
		if [ "$got" != "$i" ] && [ "$(cat "$work/begun.$n")" -gt "$i" ]
		then
			continue
		fi
		[ "$got" = "$i" ] || {
			echo "$n: $got, but $i was durable"
			return 1
		}
		seq "$i" $((i + 4000)) | cmp - "$mnt/load/$n" || return
		checked=$((checked + 1))
	done
	[ "$checked" -gt 0 ] || {
		echo "no file was written and synced"
		return 1
	}
}

under_load() { # command...
	local i pids=()

	mountpoint -q "$mnt" || return
	rm -f "$work"/noted.* "$work"/begun.* "$work/enough"
	mkdir -p "$mnt/load"
	for i in 1 2 3; do
		load "$i" &
		pids+=($!)
	done
	sleep 2
	"$@" || echo "refused, as it may be"
	sleep 1
	if daemon_alive; then
		echo "still there"
	fi
	: >"$work/enough"
	for i in "${pids[@]}"; do
		wait "$i" || return
	done
}

lazily() { umount -l "$mnt"; }
busy() { ! umount "$mnt" 2>/dev/null 8<"$mnt/append.log"; }
by_signal() { kill -TERM "$daemon_pid"; }

check "umount is refused while files are written" under_load busy
check "what was fsynced is there" loaded_is_there
check "SIGTERM while files are written" under_load by_signal
check "the daemon ends" wait_daemon
umount -l "$mnt" 2>/dev/null
check "the store is clean" fsck_store
check "mount" mount_fs -o memory=64M
check "what was fsynced is there" loaded_is_there
check "umount -l while files are written" under_load lazily
check "the daemon ends" wait_daemon
check "the store is clean" fsck_store
check "mount" mount_fs -o memory=64M
check "what was fsynced is there" loaded_is_there

# ---- places --------------------------------------------------------------------------

mkdir "$work/mnt2"
refuses() { # store, options...
	local from=$1

	shift
	timeout 60 "$TINYLSMFS" "$from" "$work/mnt2" "$@" >"$work/out" 2>&1 && {
		umount "$work/mnt2"
		return 1
	}
	cat "$work/out"
	grep -q "in use" "$work/out" && ! mountpoint -q "$work/mnt2"
}
check "the same store a second time is refused" refuses "$store"
check "also read-only" refuses "$store" -o ro
check "the first mount does not mind" loaded_is_there
if is_root; then
	check "unmount" unmount_fs
	mkdir "$work/readonly"
	mount --bind "$work" "$work/readonly"
	mount -o remount,ro,bind "$work/readonly"
	check "a store on a read-only filesystem is refused or read-only" sh -c '
		if timeout 60 "$1" "$2/store" "$3"; then
			touch "$3/x" 2>/dev/null && exit 1
			umount "$3"
		fi' - "$TINYLSMFS" "$work/readonly" "$work/mnt2"
	check "it can be mounted read-only" \
		timeout 60 "$TINYLSMFS" "$work/readonly/store" "$work/mnt2" -o ro
	check "and read" sh -c 'cmp "$1/odd2/sparse.3" "$2/sparse.3"' - \
		"$work/mnt2" "$work/odd"
	check "and a second time, beside" mount_fs -o ro
	umount "$work/mnt2"
	check "but not by a writer" refuses "$store" -o nocreate
	check "unmount" unmount_fs
	umount -l "$work/readonly"
fi
finish
