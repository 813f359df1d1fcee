#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# pjdfstest.sh - runs the POSIX file system test suite pjdfstest, built in
# $PJDFSTEST_DIR, on a mount. One line for each of its files; the numbers of
# the failing cases are in the diagnostics, the totals at the end.

# Functions are called by check.
# shellcheck disable=SC2317

# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ -n "${PJDFSTEST_DIR:-}" ] || skip_all "PJDFSTEST_DIR is not set"
[ -x "$PJDFSTEST_DIR/pjdfstest" ] ||
	skip_all "there is no pjdfstest in $PJDFSTEST_DIR"
PJDFSTEST_DIR=$(cd "$PJDFSTEST_DIR" && pwd)
is_root || skip_all "needs root"
need_fuse
set_up
chmod 755 "$work"
mount_fs -o dev,suid || bail "cannot mount"
chmod 755 "$mnt"

cases=0
failed=0
run_file() {
	local file=$1 bad n

	mkdir -p "$mnt/t" && cd "$mnt/t" || return 1
	timeout 300 bash "$file" >"$work/tap" 2>&1
	cd "$work" || return 1
	rm -rf "$mnt/t"
	n=$(grep -cE '^(not )?ok [0-9]+' "$work/tap")
	bad=$(grep -E '^not ok [0-9]+' "$work/tap" | grep -cv '# TODO')
	cases=$((cases + n))
	failed=$((failed + bad))
	# A file that stops half-way has failed, whatever it printed.
	if [ "$bad" -eq 0 ] && grep -q '^1\.\.' "$work/tap" &&
		[ "$n" -eq "$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$work/tap" |
			head -n 1)" ]; then
		return 0
	fi
	grep -vE '^ok|^1\.\.' "$work/tap" | grep -v '# TODO' | head -n 20
	return 1
}

files=$(find "$PJDFSTEST_DIR/tests" -name '*.t' | sort)
for file in $files; do
	name=${file#"$PJDFSTEST_DIR"/tests/}
	if run_file "$file" >"$work/report"; then
		ok "$name"
	else
		not_ok "$name"
		diag <"$work/report"
	fi
done
echo "# $cases cases in $tests files, $failed cases failed"
finish
