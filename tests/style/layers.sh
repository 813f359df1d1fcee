#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# layers.sh: includes point downwards only, and <fuse*.h> stays in fs/fuse.
set -euo pipefail
cd "${top_srcdir:-.}"
n=0 bad=0

# forbid TITLE PATTERN FILES...: no file has a line that matches.
forbid() {
  local title=$1 pattern=$2 found
  shift 2
  n=$((n + 1))
  found=$(grep -nE "$pattern" "$@" /dev/null || true)
  if [ -z "$found" ]; then
    echo "ok $n - $title"
  else
    echo "not ok $n - $title"
    while read -r line; do echo "# $line"; done <<<"$found"
    bad=1
  fi
}

files() { find "$@" -name '*.[ch]' -type f; }

echo "1..10"
# shellcheck disable=SC2046
{
  forbid "base includes only base" \
    '#include "lsm/(env|mem|wal|table|tree|db)/' $(files lsm/base)
  forbid "env includes base" '#include "lsm/(mem|wal|table|tree|db)/' \
    $(files lsm/env)
  forbid "mem includes base" '#include "lsm/(env|wal|table|tree|db)/' \
    $(files lsm/mem)
  forbid "wal includes base and env" '#include "lsm/(mem|table|tree|db)/' \
    $(files lsm/wal)
  forbid "table includes base and env" '#include "lsm/(mem|wal|tree|db)/' \
    $(files lsm/table)
  forbid "tree does not include db" '#include "lsm/db/' $(files lsm/tree)
  forbid "the engine knows no filesystem" '#include ["<](fs/|tools/|fuse)' \
    $(files lsm)
  forbid "only lsm.h and base helpers outside the engine" \
    '#include "lsm/(env|mem|wal|table|tree|db)/' $(files fs tools)
  forbid "the core knows no FUSE" '#include (<fuse|<linux/fuse|"fs/fuse)' \
    $(find fs tools -path fs/fuse -prune -o -name '*.[ch]' -type f -print)
  forbid "lsm.h includes nothing of the engine" '#include "' lsm/lsm.h
}
exit "$bad"
