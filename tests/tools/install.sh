#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# install.sh: what `make install` puts in place is a library that others can
# use: found by pkg-config, shared and static, with nothing but lsm_* in it.
# shellcheck disable=SC2317 # run_tests calls the functions by name
# shellcheck source=tap.sh
. "$(dirname "$0")/tap.sh"

source=$(realpath "${top_srcdir:-.}")
build=$(realpath "${top_builddir:-.}")
root=$work/root
CC=${CC:-cc} CXX=${CXX:-c++}

reason=
if [ -n "${TEST_SANITIZED:-}" ] ||
  grep -q '^PROJECT_LDFLAGS = .*-fsanitize' "$build/Makefile"; then
  reason="built with sanitizers"
elif ! command -v pkg-config >/dev/null || ! command -v "$CC" >/dev/null; then
  reason="no pkg-config or no compiler"
elif ! env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C "$build" install \
  DESTDIR="$root" >"$work/install.log" 2>&1; then
  echo "Bail out! make install fails: $(tail -n 1 "$work/install.log")"
  exit 1
fi

pc() {
  local dir
  dir=$(dirname "$(find "$root" -name tinylsm.pc)")
  PKG_CONFIG_PATH=$dir PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" tinylsm
}
libdir() { dirname "$(find "$root" -name tinylsm.pc)" | xargs dirname; }

skipped() {
  [ -z "$reason" ] && return 1
  skip "$reason"
}

# counts PROGRAM: words of two runs add up.
counts() {
  printf 'the cat and the dog\n' >text
  "$1" words <text >"$out" 2>"$err" || bad "the first run fails"
  printf '      1 and\n      1 cat\n      1 dog\n      2 the\n' >want
  cmp -s want "$out" || bad "the first counts are wrong"
  "$1" words <text >"$out" 2>"$err" || bad "the second run fails"
  printf '      2 and\n      2 cat\n      2 dog\n      4 the\n' >want
  cmp -s want "$out" || bad "the second counts are wrong"
  if "$1" >"$out" 2>"$err"; then bad "no usage"; fi
  complains '^usage: wordcount'
}

everything_is_installed() {
  skipped && return
  local f
  for f in bin/tinylsm sbin/tinylsmfs include/tinylsm/lsm.h man1/tinylsm.1 \
    man8/tinylsmfs.8 man5/tinylsm.5 man3/lsm.3; do
    [ -n "$(find "$root" -path "*/$f*")" ] || bad "$f is not installed"
  done
  [ "$(pc --modversion)" = "$("$TINYLSM" --version | cut -d' ' -f2)" ] ||
    bad "the library's version is not the program's"
}

the_example_works_with_the_shared_library() {
  skipped && return
  if ! ls "$(libdir)"/libtinylsm.so >/dev/null 2>&1; then
    skip "built without a shared library"
    return
  fi
  # shellcheck disable=SC2046 # flags are words
  expect 0 "$CC" -Wall -Wextra -Wno-unused-parameter -Werror \
    "$source/examples/wordcount.c" $(pc --cflags --libs) -o wordcount
  LD_LIBRARY_PATH=$(libdir) counts ./wordcount
}

the_example_works_with_the_static_library() {
  skipped && return
  if ! ls "$(libdir)"/libtinylsm.a >/dev/null 2>&1; then
    skip "built without a static library"
    return
  fi
  # shellcheck disable=SC2046 # flags are words
  expect 0 "$CC" "$source/examples/wordcount.c" \
    $(pc --static --cflags --libs | sed 's/-ltinylsm/-l:libtinylsm.a/') \
    -o wordcount
  counts ./wordcount
}

the_shared_library_exports_only_what_lsm_h_declares() {
  skipped && return
  local lib
  lib=$(libdir)/libtinylsm.so
  if [ ! -e "$lib" ] || ! command -v nm >/dev/null; then
    skip "no shared library, or no nm"
    return
  fi
  nm -D --defined-only "$lib" | awk '{ print $NF }' | sed 's/@.*//' |
    sort -u >exported
  grep -v '^lsm_' exported >"$out"
  [ ! -s "$out" ] || bad "exports $(head -n 3 "$out" | tr '\n' ' ')"
  awk '/^LSM_PUBLIC/,/;/' "$source/lsm/lsm.h" |
    grep -Eo 'lsm_[a-z0-9_]+\(' | tr -d '(' | sort -u >declared
  [ "$(wc -l <declared)" -gt 40 ] || bad "lsm.h cannot be read"
  comm -23 declared exported >"$out"
  [ ! -s "$out" ] || bad "does not export $(head -n 3 "$out" | tr '\n' ' ')"
}

the_header_is_good_for_c_and_cxx() {
  skipped && return
  printf '#include <tinylsm/lsm.h>\nint main(%s) { return !lsm_version(); }\n' \
    void >use.c
  cp use.c use.cc
  # shellcheck disable=SC2046 # flags are words
  expect 0 "$CC" -std=c99 -Wall -Wextra -Wpedantic -Werror -c use.c \
    $(pc --cflags) -o use.o
  if ! command -v "$CXX" >/dev/null; then
    skip "no C++ compiler"
    return
  fi
  # shellcheck disable=SC2046 # flags are words
  expect 0 "$CXX" -Wall -Wextra -Werror use.cc $(pc --cflags --libs) -o use
}

the_manual_knows_how_long_the_example_is() {
  local lines
  lines=$(wc -l <"$source/examples/wordcount.c")
  [ "$lines" -le 62 ] || bad "examples/wordcount.c is $lines lines long"
  grep -q "is a program of $lines lines" "$source/man/lsm.3" ||
    bad "lsm.3 gives another number of lines than $lines"
}

run_tests everything_is_installed \
  the_example_works_with_the_shared_library \
  the_example_works_with_the_static_library \
  the_shared_library_exports_only_what_lsm_h_declares \
  the_header_is_good_for_c_and_cxx \
  the_manual_knows_how_long_the_example_is
