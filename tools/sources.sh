#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# sources.sh: prints the file lists of sources.am, made from what is in the
# tree. `make sources` writes them; a test compares, so that no file is
# forgotten. Run in the top of the source tree.
# shellcheck disable=SC2016 # the dollars are for make
set -euo pipefail
export LC_ALL=C

# list VARIABLE PATTERN...: the files that match, one a line.
list() {
  local name=$1
  shift
  printf '%s =' "$name"
  find "$@" -type f 2>/dev/null | sort | while read -r f; do
    printf ' \\\n\t%s' "$f"
  done
  printf '\n\n'
}

echo "# Made by tools/sources.sh (make sources). Which files belong to what."
echo
list engine_sources lsm -name '*.[ch]' ! -path lsm/lsm.h
list core_sources fs -name '*.[ch]' ! -path 'fs/fuse/*'
list daemon_sources fs/fuse -name '*.[ch]'
list tool_sources tools -name '*.[ch]'
list scripts tools tests .ci -name '*.sh'
list unit_tests_c tests -name 'test_*.c'
list test_headers tests -name '*.h'

progs=$(find tests -name 'test_*.c' | sort | sed 's/\.c$//')
printf 'unit_tests ='
for p in $progs; do printf ' \\\n\t%s' "$p"; done
printf '\n\n'
for p in $progs; do
  v=$(echo "$p" | tr '/.-' '___')
  extra=
  dir=$(dirname "$p")
  # Helpers shared by the tests of a folder: any other .c beside them whose
  # name says so.
  for h in "$dir"/*_util.c; do
    [ -f "$h" ] && extra="$extra $h"
  done
  printf '%s_SOURCES = %s.c%s\n' "$v" "$p" "$extra"
  case $p in
  tests/fs/*) printf '%s_LDADD = $(core_libs) $(CHECK_LIBS)\n' "$v" ;;
  *) printf '%s_LDADD = $(engine_libs) $(CHECK_LIBS)\n' "$v" ;;
  esac
done
