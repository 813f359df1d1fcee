#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# amplification.sh: what a store writes and takes beyond its data, measured
# (amplification.c). With names: only those. AMP_SET_MB=2048 is the full size.
set -uo pipefail
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/tinylsm-amp.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
if [ -n "${TEST_SANITIZED:-}" ]; then
  echo "1..0 # SKIP figures of a sanitizer build mean nothing"
  exit 0
fi
"${TEST_TOOLS:-.}/tests/bench/amplification" "$dir/work" "$@"
