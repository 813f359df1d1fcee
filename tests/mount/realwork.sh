#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# realwork.sh - the work of a day: archives, copies, git, a build, a database,
# searches, deletion; then unmount, mount, and everything is as it was: bytes,
# modes, owners, times to the nanosecond, link counts, links, attributes.

# Functions are called by check; inner shells expand what is in single quotes.
# shellcheck disable=SC2016,SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program tar rsync git sqlite3 make cc getfattr setfattr
set_up
top_srcdir=$(cd "$test_dir/../.." && pwd)
# The build in the build is a build of its own.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

# ---- a tree of at least 5,000 files, on another filesystem ---------------------

sources=()
for dir in usr/include usr/share/doc usr/share/perl usr/share/zoneinfo; do
	[ -d "/$dir" ] && sources+=("$dir")
done
(
	cd / && find "${sources[@]}" -type f -size -600k -readable -print0 |
		head -z -n 9000
	find "${sources[@]}" -type l -print0 | head -z -n 500
) 2>/dev/null >"$work/list"
tar -C / -cf "$work/tree.tar" --null -T "$work/list" 2>/dev/null
mkdir "$work/plain"
tar -C "$work/plain" -xpf "$work/tree.tar"
count=$(find "$work/plain" | wc -l)
echo "# $count files and directories, $(du -sm "$work/plain" | cut -f1) MiB"
[ "$count" -ge 5000 ] || echo "# fewer than 5,000: this system has few files"

mount_fs || bail "cannot mount"

# Everything there is to know of a tree but the times of access and change.
describe() { # directory
	cd "$1" || return
	find . -printf '%p|%y|%m|%U:%G|%n|%T@|%l|' \
		\( -type f -printf '%s\n' -o -printf '\n' \) | sort
	find . -type f -print0 | sort -z | xargs -0 md5sum
	getfattr -R -h -d -m - . 2>/dev/null
	cd "$work" || return
}

# Times of directories are those of the copying for cp and tar alike.
same_tree() { # directory, directory
	describe "$1" | sed 's/|d|\([^|]*\)|\([^|]*\)|[^|]*|[^|]*|/|d|\1|\2|||/' \
		>"$work/one"
	describe "$2" | sed 's/|d|\([^|]*\)|\([^|]*\)|[^|]*|[^|]*|/|d|\1|\2|||/' \
		>"$work/two"
	diff "$work/one" "$work/two" | head -n 20
	cmp "$work/one" "$work/two"
}

check "tar unpacks the tree" tar -C "$mnt" -xpf "$work/tree.tar" \
	--one-top-level=tar
check "and it is the same" same_tree "$work/plain" "$mnt/tar"
check "cp -a copies it" cp -a "$mnt/tar" "$mnt/cp"
check "and it is the same" same_tree "$work/plain" "$mnt/cp"
check "rsync -aH copies it" rsync -aH "$mnt/tar/" "$mnt/rsync/"
check "rsync finds nothing to do the second time" sh -c '
	rsync -aHi --checksum "$1/tar/" "$1/rsync/" >"$2" && cat "$2" &&
		[ ! -s "$2" ]' - "$mnt" "$work/changes"
check "tar reads what it wrote" sh -c '
	tar -C "$1/cp" -cf "$1/again.tar" . && mkdir "$1/again" &&
		tar -C "$1/again" -xpf "$1/again.tar"' - "$mnt"
check "and it is the same" same_tree "$work/plain" "$mnt/again"
check "tar compares it with the archive" tar -C "$mnt/tar" -df "$work/tree.tar"

# ---- git -------------------------------------------------------------------------

git_work() {
	local g=(git -c user.name=test -c user.email=test@example.org
		-c init.defaultBranch=main -c commit.gpgsign=false
		-c gc.auto=0 -c maintenance.auto=false)

	export GIT_CONFIG_NOSYSTEM=1 HOME=$work
	cd "$mnt/cp/usr/include" || return
	"${g[@]}" init -q . && "${g[@]}" add -A . &&
		"${g[@]}" commit -q -m first &&
		find . -name '*.h' | head -n 200 | while read -r f; do
			echo "/* changed */" >>"$f"
		done &&
		"${g[@]}" commit -q -a -m second &&
		[ -z "$("${g[@]}" status --porcelain)" ] &&
		"${g[@]}" fsck --full --strict 2>&1 &&
		"${g[@]}" clone -q . "$mnt/clone" &&
		"${g[@]}" gc -q --prune=now &&
		"${g[@]}" fsck --full 2>&1 &&
		"${g[@]}" -C "$mnt/clone" fsck --full 2>&1 &&
		[ -z "$("${g[@]}" -C "$mnt/clone" status --porcelain)" ] &&
		[ "$("${g[@]}" -C "$mnt/clone" rev-list --count HEAD)" = 2 ]
}
check "git: commit, clone, gc, fsck" git_work

# ---- this project ----------------------------------------------------------------

# The sources as they lie here, without what was built among them.
copy_sources() {
	mkdir -p "$mnt/src" && cd "$top_srcdir" && tar -cf - \
		--exclude='*.o' --exclude='*.lo' --exclude=.git --exclude=.libs \
		--exclude=autom4te.cache --exclude='*.a' --exclude='*.log' \
		--exclude='*.trs' --exclude=config.status . |
		tar -C "$mnt/src" -xf - && rm -f "$mnt/src/Makefile"
}

build() {
	cd "$mnt/src" || return
	[ -x configure ] || autoreconf -if || return
	mkdir "$mnt/build" && cd "$mnt/build" && ../src/configure -q &&
		make -s -j"$(nproc)"
}

# Unit tests of the engine alone: they use no mount.
run_unit_tests() {
	local list

	cd "$mnt/build" || return
	list=$(cd "$mnt/src" && find tests/lsm/base tests/lsm/mem \
		tests/lsm/table -name 'test_*.c' | sed 's/\.c$//' | sort |
		tr '\n' ' ')
	[ -n "$list" ] || return
	make -s -j"$(nproc)" check TESTS="$list"
}
check "the sources of this project" copy_sources
if check "build this project on the mount" build; then
	check "its unit tests pass there" run_unit_tests
fi

# ---- a database ------------------------------------------------------------------

database() {
	local mode=$1 db=$mnt/$1.db i

	{
		echo "PRAGMA journal_mode=$mode; PRAGMA synchronous=FULL;"
		echo "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB, w TEXT);"
		echo "CREATE INDEX i ON t(w);"
		for ((i = 0; i < 500; i++)); do
			echo "BEGIN; INSERT INTO t(v, w) VALUES" \
				"(randomblob(700), hex(randomblob(8)));"
			echo "UPDATE t SET v = randomblob(300)" \
				"WHERE id = abs(random()) % $((i + 1)); COMMIT;"
		done
	} >"$work/sql"
	sqlite3 "$db" <"$work/sql" >/dev/null &&
		[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] &&
		[ "$(sqlite3 "$db" 'SELECT count(*) FROM t')" = 500 ]
}
check "sqlite: 500 transactions with a delete journal" database delete
check "sqlite: 500 transactions with a write-ahead log" database wal

# ---- searches ----------------------------------------------------------------------

check "find finds all" sh -c '
	[ "$(find "$1" | wc -l)" = "$(find "$2" | wc -l)" ]' \
	- "$work/plain" "$mnt/tar"
check "grep -r finds the same" sh -c '
	(cd "$1" && grep -rlI include . | sort) >"$3/g1"
	(cd "$2" && grep -rlI include . | sort) >"$3/g2"
	cmp "$3/g1" "$3/g2" && [ -s "$3/g1" ]' - "$work/plain" "$mnt/tar" "$work"
check "du counts about what ext4 counts" sh -c '
	a=$(du -sk --apparent-size "$1/usr" | cut -f1)
	b=$(find "$2/usr" -type f -printf "%s\n" |
		awk "{ s += \$1 } END { print int(s / 1024) }")
	c=$(find "$1/usr" -type f -printf "%s\n" |
		awk "{ s += \$1 } END { print int(s / 1024) }")
	echo "$a $b $c"; [ "$b" = "$c" ]' - "$work/plain" "$mnt/tar"

# ---- all kinds of things, then a remount ---------------------------------------------

kinds() {
	mkdir -p "$mnt/kinds/dir" && cd "$mnt/kinds" || return
	echo one >file && ln file hard1 && ln file dir/hard2 &&
		ln -s file soft && ln -s /nowhere/at/all dangling &&
		mkfifo fifo && chmod 640 file && chmod 1777 dir &&
		touch -h -d '2001-02-03 04:05:06.789012345' soft file &&
		touch -d '1969-12-31 23:00:00.5' old &&
		touch -d '2300-01-01 00:00:00.000000001' future &&
		setfattr -n user.first -v value file &&
		setfattr -n user.empty file &&
		setfattr -n user.large -v "$(head -c 30000 /dev/zero |
			tr '\0' x)" file &&
		truncate -s 1G sparse &&
		printf end | dd of=sparse bs=1 seek=700000000 conv=notrunc
	is_root || return 0
	mknod null c 1 3 && mknod disk b 8 1 && chown 1234:5678 file &&
		chown -h 4321:8765 soft && chmod 6755 hard1 &&
		setfattr -n trusted.kept -v yes file
}
check "all kinds of files" kinds
if command -v setfacl >/dev/null; then
	check "ACLs, inherited" sh -c 'cd "$1/kinds" &&
		setfacl -m u:1000:rwx,g:1001:r file &&
		setfacl -d -m u:1000:rw,o::--- dir && touch dir/heir &&
		getfacl -n dir/heir | grep user:1000:rw' - "$mnt"
fi
describe_all() {
	describe "$mnt"
	(cd "$mnt" && find . -printf '%p %i %b %C@\n' | sort)
	command -v getfacl >/dev/null && (cd "$mnt/kinds" && getfacl -R -n .)
}
describe_all >"$work/before" 2>&1
check "unmount and mount" remount_fs
describe_all >"$work/after" 2>&1
same_description() {
	diff "$work/before" "$work/after" | head -n 20
	cmp "$work/before" "$work/after"
}
check "everything is as it was" same_description
check "the database is sound" sh -c '
	[ "$(sqlite3 "$1/wal.db" "PRAGMA integrity_check")" = ok ]' - "$mnt"

# ---- deletion ------------------------------------------------------------------------

used() { df -k --output=used "$mnt" | tail -n 1 | tr -d ' '; }
full=$(used)
check "rm -rf deletes it all" sh -c 'rm -rf "$1"/* && [ -z "$(ls -A "$1")" ]' \
	- "$mnt"
gives_back() {
	local now i

	for ((i = 0; i < 50; i++)); do
		now=$(used)
		[ "$now" -lt $((full / 4)) ] && return 0
		sleep 0.2
	done
	echo "used: $full KiB before, $now KiB after"
	return 1
}
check "df shows the space at once" gives_back
check "the daemon ends cleanly" unmount_fs
check "the filesystem is sound" fsck_store
finish
