#!/bin/sh
# The boot's second half, as process 1 of the namespaces: network, MUNGE, MariaDB, slurmdbd, slurmctld, a slurmd a node.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8
# Whatever fails, say what the daemons said.
trap 'tail -n 20 /var/log/slurm/* /var/log/mariadbd.log >&2' EXIT
hostname head
printf '127.0.0.1 localhost head n1 n2 n3 n4 n5 n6 n7 n8\n' >/etc/hosts
ip link set lo up
ip addr add 192.0.2.1/32 dev lo # slurmdbd wants an address besides loopback

id alice >/dev/null 2>&1 || {
  useradd -m -u 2001 alice
  useradd -m -u 2002 bob
  useradd -m -u 2003 carol
}
mkdir -p /run/munge /run/mysqld /var/spool/slurmctld /var/log/slurm /etc/munge /var/log/munge /var/lib/munge
dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 2>/dev/null
chmod 400 /etc/munge/munge.key
chown -R munge: /etc/munge /run/munge /var/log/munge /var/lib/munge
setpriv --reuid munge --regid munge --clear-groups munged
chown mysql: /run/mysqld

[ -d /var/lib/mysql/mysql ] || mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=normal >/var/log/mariadb-install.log 2>&1 || { cat /var/log/mariadb-install.log >&2; exit 1; }
mariadbd --user=mysql --skip-networking --socket=/run/mysqld/mysqld.sock --innodb-buffer-pool-size=64M \
  --innodb-flush-log-at-trx-commit=0 >/var/log/mariadbd.log 2>&1 &
wait_for() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "gave up waiting for: $*" >&2; exit 1; }
    sleep 0.1
  done
}
wait_for mariadb -e 'SELECT 1'
mariadb -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';"

slurmdbd
wait_for sacctmgr -n show cluster
sacctmgr -i add cluster alpha >/dev/null
sacctmgr -i add account science description=Science organization=uni >/dev/null
sacctmgr -i add account physics parent=science description=Physics organization=uni >/dev/null
sacctmgr -i add account biology parent=science description=Biology organization=uni >/dev/null
sacctmgr -i add user alice account=physics >/dev/null
sacctmgr -i add user bob account=biology >/dev/null
sacctmgr -i add user carol account=physics,biology defaultaccount=physics >/dev/null
# 22.05 knows no disabled cgroups: it gets version 1 over an empty tmpfs, which it then does not use.
case $(slurmd -V) in 'slurm-wlm 22.'*) echo CgroupPlugin=cgroup/v1 ;; *) echo CgroupPlugin=disabled ;; esac >/etc/slurm/cgroup.conf
slurmctld -c -i
nodes=$(sed -n 's/^NodeName=\(n[0-9]*\) .*/\1/p' /etc/slurm/slurm.conf)
mkdir -p /run/gpucost /var/lib/gpucost
# A node's files and host name; the process stays, so that others can step in.
# shellcheck disable=SC2016  # the inner shell's own words
machine='hostname "$1"
for own in /run/gpucost /etc/gpucost /var/lib/gpucost; do mount -t tmpfs -o mode=755 tmpfs "$own"; done
echo "$$" >"/run/machine-$1.pid"
exec sleep 2147483647'
for node in $nodes; do
  mkdir -p "/var/spool/slurmd/$node"
  if [ "$APART" = yes ]; then
    unshare --mount --uts sh -c "$machine" sh "$node" &
    wait_for test -s "/run/machine-$node.pid"
    nsenter --target="$(cat "/run/machine-$node.pid")" --mount --uts --root slurmd -N "$node"
  else
    slurmd -N "$node"
  fi
done
all_idle() { [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" = "$(echo "$nodes" | wc -w)" ]; }
wait_for all_idle
: >/run/ready
while :; do
  sleep 3600 &
  wait $!
done
