#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts.sh: shellcheck finds nothing in our shell scripts, and those that are
# run, which begin with #!, may be run.
set -euo pipefail
cd "${top_srcdir:-.}"
if ! command -v shellcheck >/dev/null; then
  echo "1..0 # SKIP shellcheck is not installed"
  exit 0
fi
echo "1..2"
if find tools tests .ci \( -name '*.sh' -o -path .ci/run \) -type f -print0 |
  xargs -0 shellcheck -x -P SCRIPTDIR >/tmp/scripts.$$ 2>&1; then
  echo "ok 1 - shellcheck"
else
  echo "not ok 1 - shellcheck"
  sed 's/^/# /' /tmp/scripts.$$
fi
rm -f /tmp/scripts.$$
not_executable=$(find tools tests .ci examples -type f ! -perm -u+x \
  -exec awk 'FNR == 1 && /^#!/ { print FILENAME }' {} \;)
if [ -z "$not_executable" ]; then
  echo "ok 2 - scripts are executable"
else
  echo "not ok 2 - scripts are executable"
  printf '# %s\n' "${not_executable//$'\n'/$'\n# '}"
fi
