#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# promises.sh: what the engine promises in figures, measured (promises.c).
set -uo pipefail
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/tinylsm-promises.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
if [ -n "${TEST_SANITIZED:-}" ]; then
  echo "1..0 # SKIP figures of a sanitizer build mean nothing"
  exit 0
fi
"${TEST_TOOLS:-.}/tests/bench/promises" "$dir/work" "$@"
