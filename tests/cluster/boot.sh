#!/bin/sh
# Boots a whole Slurm inside namespaces of its own. Run by cluster.py:
#   unshare --mount --pid --net --uts --ipc --fork --kill-child boot.sh ROOTFS REPOSITORY SITE HOOKS TOP
# ROOTFS stays as it is: everything is written to a tmpfs over it. HOOKS is yes or no. TOP is an empty directory; this
# process's id, as the machine sees it, is left there.
set -eu
rootfs=$1 repository=$2 site=$3 hooks=$4 top=${5:-$(mktemp -d /tmp/gpucost-cluster.XXXXXX)}
here=$(cd "$(dirname "$0")" && pwd)

# /proc is still the machine's here.
read -r pid rest </proc/self/stat
printf '%s\n' "$pid" >"$top/pid"
more=$(cat "$top/slurm.conf" 2>/dev/null || :)
more_gres=$(cat "$top/gres.conf" 2>/dev/null || :)
apart=no
[ ! -e "$top/apart" ] || apart=yes
mount -t tmpfs -o size=4g tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay -o "lowerdir=$rootfs,upperdir=$top/upper,workdir=$top/work" overlay "$top/root" 2>/dev/null ||
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
# Not sticky: users add to one another's files here, which protected_regular forbids in a sticky directory.
: >"$root/scratch/seen/jobs"
chmod 777 "$root/scratch" "$root/scratch/seen"
chmod 666 "$root/scratch/seen/jobs"
for part in "$repository:gpucost" "$site:site"; do
  mount --bind "${part%:*}" "$root/opt/${part##*:}"
  mount -o remount,bind,ro "$root/opt/${part##*:}"
done
install -m 755 "$here/inside.sh" "$root/inside.sh"
install -m 755 "$here/saw.sh" "$root/usr/local/bin/saw"
install -m 644 "$here/slurm.conf" "$here/gres.conf" "$root/etc/slurm/"
install -m 600 "$here/slurmdbd.conf" "$root/etc/slurm/"
if [ "$hooks" = yes ]; then
  install -m 755 "$repository/prolog/gpucost-prolog" "$repository/epilog/gpucost-epilog" "$root/etc/slurm/"
  printf 'Prolog=/etc/slurm/gpucost-prolog\nEpilog=/etc/slurm/gpucost-epilog\n' >>"$root/etc/slurm/slurm.conf"
fi
# What the console scripts of an installed package do.
for tool in gpucost:cli gpucostd:daemon; do
  cat >"$root/usr/local/bin/${tool%%:*}" <<END
#!/usr/bin/python3 -B
import sys
sys.path[:0] = ["/opt/gpucost", "/opt/site"]
if __name__ == "__main__":
    from slurm_gpucost.${tool#*:} import main
    sys.exit(main())
END
  chmod 755 "$root/usr/local/bin/${tool%%:*}"
done
printf '%s\n' "$more" >>"$root/etc/slurm/slurm.conf"
printf '%s\n' "$more_gres" >>"$root/etc/slurm/gres.conf"
exec env APART="$apart" chroot "$root" /bin/sh ${BOOT_TRACE:+-x} /inside.sh
