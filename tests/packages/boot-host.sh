#!/bin/sh
# Boots a Debian root in namespaces of its own: by systemd where it has one, else with a process that does nothing.
# Run by host.py:
#   unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child boot-host.sh ROOTFS TOP
# ROOTFS stays as it is: everything is written to a tmpfs over it. TOP is an empty directory; this process's id, as the
# machine sees it, is left there.
set -eu
rootfs=$1 top=$2

# /proc is still the machine's here.
read -r pid rest </proc/self/stat
printf '%s\n' "$pid" >"$top/pid"
mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
root=$top/root
mount -t overlay -o "lowerdir=$rootfs,upperdir=$top/upper,workdir=$top/work" overlay "$root" 2>/dev/null || {
  cp -a "$rootfs/." "$root/"
  mount --bind "$root" "$root"
}
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
while read -r name major minor; do
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
nvidiactl 195 255
nvidia0 195 0
fakegpu0 1 3
fakegpu1 1 3
END
mkdir "$root/dev/shm" "$root/dev/pts" "$root/debs"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
printf '127.0.0.1 localhost n1\n' >"$root/etc/hosts"
hostname n1
echo n1 >"$root/etc/hostname" # systemd sets it again
ip link set lo up

cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
if [ -x /lib/systemd/systemd ]; then
  exec env -i container=lxc PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --unit=basic.target
fi
exec sleep infinity
