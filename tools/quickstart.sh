#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# quickstart.sh MOUNTPOINT [STORE]: from a fresh Debian 12 to a mounted
# filesystem. Installs what is missing, builds, makes a store beside the mount
# point (or at STORE) and mounts it. Safe to run again.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/packages.sh
. "$top/tools/packages.sh"

case "${1:-}" in
-h | --help | "")
  echo "usage: tools/quickstart.sh MOUNTPOINT [STORE]"
  [ -n "${1:-}" ] && exit 0 || exit 2
  ;;
esac
mnt=$(realpath -m "$1")
store=$(realpath -m "${2:-$mnt.store}")

if mountpoint -q "$mnt"; then
  kind=$(findmnt -n -o FSTYPE "$mnt")
  if [ "$kind" = fuse.tinylsmfs ]; then
    echo "$mnt is mounted already, from $(findmnt -n -o SOURCE "$mnt")."
    exit 0
  fi
  echo "$mnt: something else ($kind) is mounted there; choose another" >&2
  exit 1
fi

install_missing "${BUILD_PACKAGES[@]}"
build_tree "$top/build" CFLAGS="-g -O2"
mkdir -p "$mnt"
"$top/build/tinylsmfs" "$store" "$mnt"

cat <<EOF

A TinyLSM filesystem is mounted.

  mount point   $mnt
  store         $store

Try:
  cp -a /usr/include $mnt/ && du -sh $mnt
  ls -l $mnt; df -h $mnt
Look inside, when it is unmounted:
  $top/build/tinylsm info $store
  $top/build/tinylsm fsck $store
Unmount:
  umount $mnt          (as a user: fusermount3 -u $mnt)
Mount again:
  $top/build/tinylsmfs $store $mnt
EOF
