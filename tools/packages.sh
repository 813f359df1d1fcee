# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# packages.sh - sourced by quickstart.sh and check.sh: installs from Debian
# what is missing. Works as root or with sudo.

BUILD_PACKAGES=(gcc libc6-dev make autoconf automake libtool pkg-config
  libfuse3-dev fuse3 liblz4-dev libxxhash-dev libisal-dev)
TEST_PACKAGES=(check libsubunit-dev clang-format fio rsync sqlite3 attr acl
  git gawk shellcheck xz-utils g++ xfsprogs jq procps binutils perl
  util-linux mount tar)

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# install_missing PACKAGE...: does nothing when all are there.
install_missing() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
      grep -q 'install ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; install them with your package manager" >&2
    return 1
  fi
  echo "installing: ${missing[*]}"
  as_root apt-get update -q >/dev/null || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
    --no-install-recommends "${missing[@]}" >/dev/null
}

# build_tree DIR [configure options]: configures once, builds.
build_tree() {
  local dir=$1
  shift
  if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] ||
    [ "$top/Makefile.am" -nt "$top/Makefile.in" ]; then
    (cd "$top" && autoreconf -fi >/dev/null)
  fi
  mkdir -p "$dir"
  if [ ! -f "$dir/Makefile" ]; then
    (cd "$dir" && "$top/configure" -q "$@")
  fi
  make -C "$dir" -s -j"$(nproc)"
}
