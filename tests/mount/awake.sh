#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# awake.sh - the daemon asks for cores that stay awake while many requests come,
# takes that back when they end and when it is killed, and does not ask when it
# is told not to.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
device=/dev/cpu_dma_latency
fsops=${TEST_TOOLS:-$top_builddir}/tests/bench/fsops
[ -x "$fsops" ] || skip_all "$fsops is not built"
{ : <>"$device"; } 2>/dev/null || skip_all "$device may not be opened"
driver=$(cat /sys/devices/system/cpu/cpuidle/current_driver 2>/dev/null)
if [ "$driver" != haltpoll ]; then
	skip_all "the idle driver is '$driver'; what is asked for depends on it"
fi
set_up

# What all programs together ask for, microseconds. Another mount may be busy
# for a while: a wish is waited for, not compared once.
wished() {
	od -A n -t d4 -N 4 "$device" | tr -d ' '
}

wish_becomes() { # value
	local i

	for ((i = 0; i < 200; i++)); do
		[ "$(wished)" -eq "$1" ] && return 0
		sleep 0.05
	done
	echo "$(wished) us are asked for, not $1"
	return 1
}

# The daemon has nothing to ask with.
cannot_ask() {
	! find "/proc/$daemon_pid/fd" -lname "$device" | grep .
}

load_pid=
start_load() {
	while "$fsops" getattr "$mnt/d" 20000 0; do
		:
	done >/dev/null 2>&1 &
	load_pid=$!
}

stop_load() {
	kill "$load_pid" 2>/dev/null
	wait "$load_pid" 2>/dev/null
	return 0
}

before=$(wished)
[ "$before" -ne 0 ] || skip_all "something else keeps the cores awake"

mount_fs -o keep_awake || bail "cannot mount"
mkdir "$mnt/d"
"$fsops" create "$mnt/d" 10 0 >/dev/null || bail "cannot write"
check "an idle mount asks for nothing" wish_becomes "$before"
start_load
check "many requests keep the cores awake" wish_becomes 0
stop_load
check "they sleep again when the requests end" wish_becomes "$before"
start_load
check "and are kept awake again" wish_becomes 0
kill_daemon
stop_load
check "the end of the daemon leaves nothing" wish_becomes "$before"

mount_fs -o no_keep_awake || bail "cannot mount"
check "no_keep_awake asks for nothing" cannot_ask
finish
