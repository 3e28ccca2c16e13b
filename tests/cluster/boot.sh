#!/bin/sh
# Boots a whole Slurm with two nodes inside namespaces of its own. Run by cluster.py:
#   unshare --mount --pid --net --uts --ipc --fork --kill-child boot.sh ROOTFS REPOSITORY SITE HOOKS
# ROOTFS stays as it is: everything is written to a tmpfs over it.
set -eu
rootfs=$1 repository=$2 site=$3 hooks=$4
here=$(cd "$(dirname "$0")" && pwd)

mount --make-rprivate / 2>/dev/null || { mount --bind / /; mount --make-rprivate /; }
top=$(mktemp -d /tmp/gpucost-cluster.XXXXXX)
mount -t tmpfs -o size=4g tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay -o "lowerdir=$rootfs,upperdir=$top/upper,workdir=$top/work" overlay "$top/root" ||
  cp -a "$rootfs/." "$top/root/"
root=$top/root
mount --bind "$root" "$root"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || mount -t tmpfs tmpfs "$root/sys"
mkdir -p "$root/sys/fs/cgroup" 2>/dev/null || :
mount -t tmpfs tmpfs "$root/sys/fs/cgroup" 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero urandom random tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for i in 0 1 2 3 4 5 6 7; do mknod -m 666 "$root/dev/fakegpu$i" c 1 3; done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mkdir -p "$root/opt/gpucost" "$root/opt/site" "$root/scratch/seen" "$root/etc/slurm" "$root/etc/gpucost"
chmod 1777 "$root/scratch" "$root/scratch/seen"
mount --bind "$repository" "$root/opt/gpucost"
mount --bind "$site" "$root/opt/site"
install -m 755 "$here/inside.sh" "$root/inside.sh"
install -m 644 "$here/slurm.conf" "$here/gres.conf" "$root/etc/slurm/"
install -m 600 "$here/slurmdbd.conf" "$root/etc/slurm/"
if [ "$hooks" = yes ]; then
  install -m 755 "$repository/prolog/gpucost-prolog" "$repository/epilog/gpucost-epilog" "$root/etc/slurm/"
  printf 'Prolog=/etc/slurm/gpucost-prolog\nEpilog=/etc/slurm/gpucost-epilog\n' >>"$root/etc/slurm/slurm.conf"
fi
for tool in gpucost:cli gpucostd:daemon; do
  printf '#!/bin/sh\nPYTHONPATH=/opt/gpucost:/opt/site exec python3 -B -m slurm_gpucost.%s "$@"\n' "${tool#*:}" \
    >"$root/usr/local/bin/${tool%%:*}"
  chmod 755 "$root/usr/local/bin/${tool%%:*}"
done
exec chroot "$root" /bin/sh ${BOOT_TRACE:+-x} /inside.sh
