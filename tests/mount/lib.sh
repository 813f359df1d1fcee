# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# lib.sh - what the mount tests share: the work directory, mounting and
# unmounting, TAP. To be sourced.
#
# A test works in a directory of its own below $TMPDIR or /var/tmp. What it
# mounted and started is gone when it ends, however it ends.
#
# TINYLSMFS and TINYLSM name the programs; without them they are taken from
# $top_builddir or the current directory.

set -u

top_builddir=$(cd "${top_builddir:-.}" && pwd)
TINYLSMFS=${TINYLSMFS:-$top_builddir/tinylsmfs}
TINYLSM=${TINYLSM:-$top_builddir/tinylsm}
# shellcheck disable=SC2034 # for the tests
test_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LC_ALL=C
export LC_ALL
unset CDPATH

tests=0
failures=0
work=
store=
mnt=
log=
daemon_pid=

# ---- TAP ---------------------------------------------------------------------

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

diag() {
	sed 's/^/# /'
}

ok() {
	tests=$((tests + 1))
	echo "ok $tests - $*"
}

not_ok() {
	tests=$((tests + 1))
	failures=$((failures + 1))
	echo "not ok $tests - $*"
}

skip() { # description, reason
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

# One test: a promise, and the command that must succeed.
check() {
	local what=$1 status=0

	shift
	"$@" >"$work/output" 2>&1 || status=$?
	if [ "$status" -eq 0 ]; then
		ok "$what"
		return 0
	fi
	not_ok "$what"
	{
		echo "exit status $status of: $*"
		tail -n 30 "$work/output"
	} | diag
	return 1
}

# The end of every test.
finish() {
	if daemon_alive; then
		check "the daemon ends cleanly" unmount_fs
	fi
	echo "1..$tests"
	[ "$failures" -eq 0 ]
	exit
}

# Ends the test here: what follows makes no sense without this.
bail() {
	not_ok "$*"
	[ -s "$log" ] && tail -n 20 "$log" | diag
	echo "1..$tests"
	exit 1
}

# ---- set-up --------------------------------------------------------------------

need_program() {
	local p

	for p in "$@"; do
		command -v "$p" >/dev/null || skip_all "$p is not installed"
	done
}

need_fuse() {
	[ -c /dev/fuse ] || skip_all "/dev/fuse is missing"
	if ! { : <>/dev/fuse; } 2>/dev/null; then
		skip_all "/dev/fuse may not be opened"
	fi
	[ -x "$TINYLSMFS" ] || skip_all "$TINYLSMFS is not built"
	[ "$(id -u)" -eq 0 ] || command -v fusermount3 >/dev/null ||
		skip_all "mounting needs root or fusermount3"
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# Ends one process of ours, and waits until it is gone.
end_process() { # pid, signal
	local i

	kill "-$2" "$1" 2>/dev/null || return 0
	for ((i = 0; i < 500; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.02
	done
	return 1
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local m

	trap - EXIT
	cd /
	[ -n "$work" ] || return
	tac /proc/self/mountinfo | awk '{ print $5 }' | while read -r m; do
		case $m in
		"$work"/*) umount -l "$m" 2>/dev/null ||
			fusermount3 -u -z "$m" 2>/dev/null ;;
		esac
	done
	# Every daemon of ours has this directory in its command line.
	for m in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$m/cmdline"; } 2>/dev/null |
			grep -q "tinylsmfs.* $work/"; then
			end_process "${m#/proc/}" KILL
		fi
	done
	if [ -n "${KEEP_WORK:-}" ]; then
		echo "# kept $work"
	else
		rm -rf "$work"
	fi
}

set_up() {
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/tinylsm-mount.XXXXXX") || exit 1
	work=$(cd "$work" && pwd -P)
	store=$work/store
	mnt=$work/mnt
	log=$work/log
	mkdir "$mnt"
	: >"$log"
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# ---- mounting ------------------------------------------------------------------

daemon_alive() {
	[ -n "$daemon_pid" ] && kill -0 "$daemon_pid" 2>/dev/null
}

# Mounts $store on $mnt, options as arguments; the log goes to $log.
mount_fs() {
	local i

	echo "-- mount $*" >>"$log"
	"$TINYLSMFS" "$store" "$mnt" -f "$@" >>"$log" 2>&1 &
	daemon_pid=$!
	for ((i = 0; i < 1500; i++)); do
		if mountpoint -q "$mnt"; then
			return 0
		fi
		if ! kill -0 "$daemon_pid" 2>/dev/null; then
			wait "$daemon_pid"
			i=$?
			daemon_pid=
			return "$i"
		fi
		sleep 0.02
	done
	return 1
}

# Waits for the daemon; its exit status.
wait_daemon() {
	local pid=$daemon_pid status=0

	daemon_pid=
	wait "$pid" || status=$?
	return "$status"
}

unmount_fs() {
	local i

	cd "$work" || return
	for ((i = 0; i < 50; i++)); do
		if umount "$mnt" 2>/dev/null ||
			fusermount3 -u "$mnt" 2>/dev/null; then
			wait_daemon
			return
		fi
		sleep 0.1
	done
	umount "$mnt"
	return 1
}

remount_fs() {
	unmount_fs && mount_fs "$@"
}

kill_daemon() {
	local pid=$daemon_pid

	daemon_pid=
	end_process "$pid" KILL
	wait "$pid" 2>/dev/null
	umount -l "$mnt" 2>/dev/null || fusermount3 -u -z "$mnt" 2>/dev/null
	return 0
}

# The store is not mounted and clean.
fsck_store() {
	"$TINYLSM" fsck "$store"
}
