#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# format.sh: every C file is as `make format` leaves it.
set -euo pipefail
cd "${top_srcdir:-.}"
if ! command -v clang-format >/dev/null; then
  echo "1..0 # SKIP clang-format is not installed"
  exit 0
fi
echo "1..1"
if find lsm fs tools tests -name '*.[ch]' -type f -print0 |
  xargs -0 clang-format --style=file --dry-run -Werror 2>/tmp/format.$$; then
  echo "ok 1 - formatted"
else
  echo "not ok 1 - formatted"
  grep -oE '^[^:]+' /tmp/format.$$ | sort | uniq -c | sed 's/^/# /'
fi
rm -f /tmp/format.$$
