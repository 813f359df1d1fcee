#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# sources.sh: sources.am names every file that is in the tree.
set -euo pipefail
cd "${top_srcdir:-.}"
echo "1..1"
if diff -u sources.am <(tools/sources.sh) | sed 's/^/# /'; then
  echo "ok 1 - sources.am is complete"
else
  echo "not ok 1 - sources.am is complete (run: make sources)"
fi
