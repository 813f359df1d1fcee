#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check.sh [--long]: installs what is missing from Debian, builds with warnings
# as errors, runs the tests and closes with "N passed, N failed". Tiers, see
# doc/TESTING.md:
#   unit, model, fault and tool tests         make check
#   the same under sanitizers                 asan+ubsan, tsan builds
#   real mounts                               make check-mount
#   --long adds                               make check-long, make distcheck
# Build trees go to $CHECK_BUILD, default build-check in the source tree.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/packages.sh
. "$top/tools/packages.sh"
out=${CHECK_BUILD:-$top/build-check}
long=no
case "${1:-}" in
--long) long=yes ;;
"") ;;
*)
  echo "usage: tools/check.sh [--long]" >&2
  exit 2
  ;;
esac

passed=0 failed=0 skipped=0

# step NAME COMMAND...: a part that is one test of its own.
step() {
  local name=$1 t0=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    passed=$((passed + 1))
    echo "== $name: ok, $((SECONDS - t0)) s"
  else
    failed=$((failed + 1))
    echo "== $name: FAILED, $((SECONDS - t0)) s"
    return 1
  fi
}

# suite NAME DIR TARGET [MAKE FLAGS]: a make target whose test results stand in
# .trs files.
suite() {
  local name=$1 dir=$2 target=$3 t0=$SECONDS p f s rc=0
  shift 3
  echo "== $name"
  find "$dir" -name '*.trs' -delete
  make -C "$dir" "$target" VERBOSE=1 "$@" >"$dir/$target.out" 2>&1 || rc=$?
  p=$(results "$dir" 'PASS|XFAIL')
  f=$(results "$dir" 'FAIL|ERROR|XPASS')
  s=$(results "$dir" 'SKIP')
  if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
    f=1
  fi
  if [ "$p" -eq 0 ] && [ "$f" -eq 0 ]; then
    echo "no test ran"
    f=1
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  echo "== $name: $p passed, $f failed, $s skipped, $((SECONDS - t0)) s"
  if [ "$f" -ne 0 ]; then
    grep -E '^(FAIL|ERROR)' "$dir/$target.out" | head -n 40
    echo "-- the end of $dir/$target.out:"
    tail -n 120 "$dir/$target.out"
  fi
}

results() {
  find "$1" -name '*.trs' -exec cat {} + |
    grep -cE "^:test-result: ($2)( |\$)"
}

packages=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}")
step "packages" install_missing "${packages[@]}" || exit 1

if step "build" build_tree "$out/plain" --enable-werror CFLAGS="-g -O2"; then
  suite "unit, model, fault and tool tests" "$out/plain" check -j"$(nproc)"
  suite "mounts" "$out/plain" check-mount
  if [ "$long" = yes ]; then
    suite "long tier" "$out/plain" check-long
    step "distcheck" make -C "$out/plain" -s distcheck
  fi
fi
if step "build with address and undefined sanitizers" \
  build_tree "$out/asan" --enable-werror --disable-static \
  --enable-sanitize=address,undefined CFLAGS="-g -O1"; then
  suite "address and undefined sanitizers" "$out/asan" check-sanitized \
    -j"$(nproc)"
fi
if step "build with the thread sanitizer" \
  build_tree "$out/tsan" --enable-werror --disable-static \
  --enable-sanitize=thread CFLAGS="-g -O1"; then
  suite "thread sanitizer" "$out/tsan" check-sanitized -j"$(nproc)"
fi

echo
if [ "$skipped" -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
