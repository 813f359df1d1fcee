# SPDX-License-Identifier: MIT
# lib.sh: what the scripts that measure have in common. Sourced; $work is the
# folder of the caller.
# shellcheck shell=bash disable=SC2154

machine() {
  local cpu
  cpu=$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
  echo "${cpu:-unknown processor}, $(nproc) cores," \
    "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
    "Linux $(uname -r), $(findmnt -n -o FSTYPE -T "$work")," \
    "load $(cut -d' ' -f1 /proc/loadavg) at the start"
}

# The host of a virtual machine takes back memory that has lain free for a
# while, and who is first to use it again pays for that: nobody does here.
touch_memory() {
  dd if=/dev/zero of="$work/touched" bs=1M count=1536 status=none 2>/dev/null ||
    true
  rm -f "$work/touched"
}
