# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# tap.sh: what the tests of the command line share; sourced, not run.
#
# Each test is a function of the script that sources this, named in the list
# given to run_tests. It fails when one of its expectations did not hold; all of
# them are tried, and what was found is printed as comments. The script's
# directory $work is removed at the end.
set -uo pipefail

TINYLSM=${TINYLSM:-./tinylsm}
TINYLSMFS=${TINYLSMFS:-./tinylsmfs}
work=$(mktemp -d "${TMPDIR:-/tmp}/tinylsm-test-XXXXXX")
out=$work/.out err=$work/.err status=0
test_ok=yes test_skip='' test_number=0 any_failed=0

on_exit() {
  if declare -F cleanup >/dev/null; then
    cleanup
  fi
  rm -rf --one-file-system "$work"
}
trap on_exit EXIT
trap 'exit 1' INT TERM HUP

# bad TEXT: this test failed.
bad() {
  test_ok=no
  echo "# ${FUNCNAME[2]}: $1"
  if [ -s "$err" ]; then
    sed 's/^/#   stderr: /' "$err" | head -n 5
  fi
}

skip() {
  test_skip=$1
}

# run COMMAND...: its output to $out and $err, its exit status to $status.
run() {
  status=0
  "$@" >"$out" 2>"$err" </dev/null || status=$?
}

# expect STATUS COMMAND...
expect() {
  local want=$1
  shift
  run "$@"
  [ "$status" -eq "$want" ] || bad "exit $status instead of $want: $*"
}

# prints PATTERN, complains PATTERN: the last command's output, its stderr.
prints() {
  grep -Eq -- "$1" "$out" || {
    bad "output lacks /$1/"
    head -n 8 "$out" | sed 's/^/#   stdout: /'
  }
}

complains() {
  grep -Eq -- "$1" "$err" || bad "stderr lacks /$1/"
}

# One line on stderr, nothing on stdout: how a wrong command line is answered.
one_line() {
  [ "$(wc -l <"$err")" -eq 1 ] || bad "not one line on stderr"
  [ ! -s "$out" ] || bad "something on stdout"
}

# flip FILE OFFSET: changes one byte.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\x$(printf %02x $((byte ^ 0x55)))" |
    dd of="$1" bs=1 seek="$2" count=1 conv=notrunc status=none
}

# run_tests FUNCTION...: the plan, every test, the exit status.
run_tests() {
  local t
  echo "1..$#"
  for t in "$@"; do
    test_ok=yes test_skip=''
    test_number=$((test_number + 1))
    rm -rf "${work:?}/t"
    mkdir "$work/t"
    cd "$work/t" || exit 1
    "$t"
    if [ -n "$test_skip" ]; then
      echo "ok $test_number - $t # SKIP $test_skip"
    elif [ "$test_ok" = yes ]; then
      echo "ok $test_number - $t"
    else
      echo "not ok $test_number - $t"
      any_failed=1
    fi
  done
  exit "$any_failed"
}

# Tests run in a directory of their own.
case $TINYLSM in
*/*) TINYLSM=$(realpath "$TINYLSM") ;;
esac
case $TINYLSMFS in
*/*) TINYLSMFS=$(realpath -m "$TINYLSMFS") ;;
esac
if ! command -v "$TINYLSM" >/dev/null; then
  echo "Bail out! there is no program $TINYLSM"
  exit 1
fi
