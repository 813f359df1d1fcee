#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts.sh: shellcheck finds nothing in our shell scripts.
set -euo pipefail
cd "${top_srcdir:-.}"
if ! command -v shellcheck >/dev/null; then
  echo "1..0 # SKIP shellcheck is not installed"
  exit 0
fi
echo "1..1"
if find tools tests .ci \( -name '*.sh' -o -path .ci/run \) -type f -print0 |
  xargs -0 shellcheck -x -P SCRIPTDIR >/tmp/scripts.$$ 2>&1; then
  echo "ok 1 - shellcheck"
else
  echo "not ok 1 - shellcheck"
  sed 's/^/# /' /tmp/scripts.$$
fi
rm -f /tmp/scripts.$$
