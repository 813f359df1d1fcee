#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage.sh: every command has help, and a wrong command line is one clear line.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

commands=(mkfs mount info fsck repair dump bench)

the_program_has_help_and_a_version() {
  expect 0 "$TINYLSM" --help
  prints '^usage: tinylsm COMMAND'
  local c
  for c in "${commands[@]}"; do prints "^  $c +[a-z]"; done
  expect 0 "$TINYLSM" --version
  prints '^tinylsm [0-9]+\.[0-9]+\.[0-9]+$'
}

every_command_has_help_with_options_examples_and_exit_status() {
  local c
  for c in "${commands[@]}"; do
    expect 0 "$TINYLSM" "$c" --help
    prints "^usage: tinylsm $c"
    prints '--help|--FLAG'
    prints '^examples:'
    prints "^  tinylsm $c "
    prints '^Exit status:'
    [ ! -s "$err" ] || bad "$c --help writes to stderr"
    cp "$out" help.txt
    expect 0 "$TINYLSM" help "$c"
    cmp -s help.txt "$out" || bad "help $c differs from $c --help"
    expect 0 "$TINYLSM" "$c" STORE --help
  done
}

help_fits_a_terminal() {
  local c
  for c in "${commands[@]}"; do
    expect 0 "$TINYLSM" "$c" --help
    [ "$(awk 'length > n { n = length } END { print n }' "$out")" -le 80 ] ||
      bad "$c --help has a line of more than 80 columns"
  done
}

an_unknown_command_or_option_exits_with_2() {
  expect 2 "$TINYLSM"
  expect 2 "$TINYLSM" frobnicate
  one_line
  complains "'frobnicate' is not a command"
  expect 2 "$TINYLSM" --frobnicate
  one_line
  expect 2 "$TINYLSM" help frobnicate
  one_line
  local c
  for c in mkfs info repair dump bench; do
    expect 2 "$TINYLSM" "$c" --frobnicate x
    one_line
    complains "tinylsm $c: .*frobnicate"
  done
  expect 16 "$TINYLSM" fsck --frobnicate x
  one_line
}

a_missing_or_extra_argument_exits_with_2() {
  local c
  for c in mkfs info repair dump; do
    expect 2 "$TINYLSM" "$c"
    one_line
    complains 'which STORE'
  done
  for c in mkfs info repair; do
    expect 2 "$TINYLSM" "$c" a b
    one_line
  done
  expect 2 "$TINYLSM" mount a
  one_line
  expect 16 "$TINYLSM" fsck
  expect 16 "$TINYLSM" fsck a b
  expect 16 "$TINYLSM" fsck -n -y a
  one_line
}

a_bad_value_of_mkfs_exits_with_2_and_makes_nothing() {
  local a
  for a in "-b 3000" "-b 256" "-b 128K" "-b x" "-s 1X" "-s -1" "-s 1e3" \
    "-s 1.5" "-s 99999999999999999999" "-c zstd" "-U abc" \
    "-U 00000000-0000-0000-0000-000000000000"; do
    # shellcheck disable=SC2086 # an option and its value
    expect 2 "$TINYLSM" mkfs store $a
    one_line
    [ ! -e store ] || bad "mkfs $a left a directory"
  done
  expect 2 "$TINYLSM" mkfs store -L "$(printf 'x%.0s' {1..64})"
  one_line
}

a_bad_value_of_dump_exits_with_2() {
  expect 2 "$TINYLSM" dump store frobs
  one_line
  expect 2 "$TINYLSM" dump store table
  one_line
  expect 2 "$TINYLSM" dump store table 000001.wal
  one_line
  expect 2 "$TINYLSM" dump store wal MANIFEST-000001
  one_line
  expect 2 "$TINYLSM" dump store keys --prefix xyz
  one_line
  expect 2 "$TINYLSM" dump store keys --prefix abc
  one_line
  expect 2 "$TINYLSM" dump store keys --ino -5
  one_line
  expect 2 "$TINYLSM" dump store keys extra
  one_line
}

output_that_cannot_be_written_is_a_failure() {
  [ -c /dev/full ] || {
    skip "no /dev/full"
    return
  }
  status=0
  "$TINYLSM" --help >/dev/full 2>"$err" || status=$?
  [ "$status" -eq 1 ] || bad "exit $status when the output is full"
  complains 'cannot write'
}

mount_runs_the_daemon_with_the_same_arguments() {
  mkdir bin
  cp "$TINYLSM" bin/tinylsm
  cat >bin/tinylsmfs <<'END'
#!/bin/sh
echo "beside: $*"
exit 32
END
  chmod +x bin/tinylsmfs
  if ! bin/tinylsm --version >/dev/null 2>&1; then
    skip "the program does not run from a copy"
    return
  fi
  expect 32 bin/tinylsm mount store mnt -o ro,noatime -f
  prints '^beside: store mnt -o ro,noatime -f$'
  mkdir other
  mv bin/tinylsmfs other/
  sed -i s/beside/path/ other/tinylsmfs
  PATH=$PWD/other:$PATH expect 32 bin/tinylsm mount store mnt
  prints '^path: store mnt$'
  PATH=/nonexistent expect 1 bin/tinylsm mount store mnt
  complains 'neither beside tinylsm nor on PATH'
}

run_tests the_program_has_help_and_a_version \
  every_command_has_help_with_options_examples_and_exit_status \
  help_fits_a_terminal \
  an_unknown_command_or_option_exits_with_2 \
  a_missing_or_extra_argument_exits_with_2 \
  a_bad_value_of_mkfs_exits_with_2_and_makes_nothing \
  a_bad_value_of_dump_exits_with_2 \
  output_that_cannot_be_written_is_a_failure \
  mount_runs_the_daemon_with_the_same_arguments
