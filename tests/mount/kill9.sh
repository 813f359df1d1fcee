#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# kill9.sh - the daemon is killed at a random moment, again and again. What had
# returned to the program is there afterwards, and the filesystem is sound.
#
# KILL9_ROUNDS (20) rounds; TEST_SEED repeats a series. KILL9_LOAD names the
# load generator if it is not to be built here.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
rounds=${KILL9_ROUNDS:-20}
seed=${TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "# seed $seed"
RANDOM=$((seed & 32767))
load=${KILL9_LOAD:-$top_builddir/tests/mount/kill9_load}
[ -x "$load" ] || need_program cc
set_up
if [ ! -x "$load" ]; then
	load=$work/kill9_load
	cc -std=gnu11 -O2 -D_GNU_SOURCE -pthread \
		"$test_dir/kill9_load.c" -o "$load" || bail "cannot build the load"
fi
mkdir "$work/journals"

# Small buffers, so that flushes and compactions are cut off too.
options=memory=32M

one_round() {
	local n=$1 round_seed=$((seed + $1)) delay pid

	mount_fs -o "$options" || {
		echo "round $n: cannot mount"
		tail -n 5 "$log"
		return 1
	}
	if [ "$n" -gt 1 ]; then
		"$load" verify "$mnt/$((n - 1))" "$work/journals/$((n - 1))" \
			$((round_seed - 1)) || return 1
	fi
	# The round before the last stays: data that was safe once stays so.
	if [ "$n" -gt 2 ]; then
		"$load" verify "$mnt/$((n - 2))" "$work/journals/$((n - 2))" \
			$((round_seed - 2)) || return 1
		rm -rf "${mnt:?}/$((n - 2))"
	fi
	mkdir "$mnt/$n" || return 1
	"$load" load "$mnt/$n" "$work/journals/$n" "$round_seed" 4 &
	pid=$!
	delay=$(printf '%d.%03d' $((RANDOM % 2)) $((RANDOM % 1000)))
	echo "round $n: killed after $delay s"
	sleep "$delay"
	kill_daemon
	wait "$pid"
	fsck_store
}

for ((round = 1; round <= rounds; round++)); do
	check "round $round: all that had returned is there" \
		one_round "$round" || break
done
if [ "$failures" -eq 0 ]; then
	check "the last mount" mount_fs -o "$options"
	check "all that had returned is there" \
		"$load" verify "$mnt/$rounds" "$work/journals/$rounds" \
		$((seed + rounds))
fi
finish
