"""What happens to packages in their life on one host, played in order; the tests look at what it left.

Installed, used, upgraded while hooks run (and killed in the middle of it), removed, purged, installed again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.packages.documented import configure, documented, install
from tests.packages.host import Host
from tests.packages.served import LEDGER, Served, serve

KILLS = 10
HOOKS = ("/etc/gpucost/hooks/gpucost-prolog", "/etc/gpucost/hooks/gpucost-epilog")
# slurmd runs hooks like this: root, no PATH, nothing of ours. Each must exit 0; which one it was tells its checksum.
_LOOP = """
n=0
while [ ! -e /debs/enough ]; do
  for hook in gpucost-prolog gpucost-epilog; do
    n=$((n + 1))
    env -i SLURM_JOB_ID=$((1000000 + n)) SLURMD_NODENAME=n1 /etc/gpucost/hooks/$hook || echo "$hook: $?" >>/debs/failed
    cksum </etc/gpucost/hooks/$hook >>/debs/seen || echo "$hook: gone" >>/debs/failed
  done
done
echo $n >/debs/ran
"""
_EVIL = "mkdir -p evil/slurm_gpucost; for m in rich typing slurm_gpucost/__init__; do echo 'exit(77)' >evil/$m.py; done"
_NOT_LOOKED_AT = "proc sys dev run tmp debs var/lib/dpkg var/log var/cache var/lib/systemd var/lib/apt".split()


class Story:
    """``host`` is as it is at the end; every other attribute says what was seen on the way."""

    served: Served
    """Only where systemd runs."""

    def __init__(self, suite: str, debs: Path) -> None:
        self.host = Host(suite)
        self.debs = debs

    def __enter__(self) -> Self:
        self.host.__enter__()
        try:
            self._play()
        except BaseException:
            self.host.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.host.close()

    def _play(self) -> None:
        self.host.bring(self.debs)
        self.before = self._files()
        self._install()
        self._configure()
        if self.host.systemd:
            self.served = serve(self.host)
        self._upgrade()
        self._remove()

    def _files(self) -> set[str]:
        """Every path of the host outside what boots and packages' own databases make."""
        skipped = " -o ".join(f"-path /{folder}" for folder in _NOT_LOOKED_AT)
        return set(self.host.run(rf"find / \( {skipped} \) -prune -o -print").stdout.splitlines())

    def _install(self) -> None:
        host = self.host
        install(host)
        self.altered = host.run("dpkg -V gpucost gpucost-node", check=False).stdout
        self.modes = host.run(
            "stat -c '%a %U:%G %n' /run/gpucost /run/gpucost/spool /var/lib/gpucost /var/backups/gpucost "
            "/etc/gpucost /etc/gpucost/hooks /etc/gpucost/hooks/* /usr/bin/gpucost /usr/bin/gpucostd"
        ).stdout.splitlines()
        self.versions = host.run("gpucost --version; gpucostd --version").stdout.splitlines()
        self.isolated = host.run(_EVIL + " && cd evil && PYTHONPATH=/debs/evil gpucost --version").stdout
        self.leaks = host.run("/usr/bin/python3 -c 'import rich'", check=False).returncode == 0
        self.help = host.run("gpucostd --help").stdout
        self.demo = host.run("gpucost demo", timeout=120).stdout
        self.completed = host.run(
            "source /usr/share/bash-completion/completions/gpucost; COMP_WORDS=(gpucost inv); COMP_CWORD=1; "
            '$(complete -p gpucost | grep -o "_[a-z_]*completion") gpucost inv gpucost; echo "${COMPREPLY[@]}"'
        ).stdout

    def _configure(self) -> None:
        configure(self.host)
        self.host.run("env -i SLURM_JOB_ID=7 SLURMD_NODENAME=n1 SLURM_JOB_GPUS=0 /etc/gpucost/hooks/gpucost-prolog")
        self.events = self.host.run("stat -c '%a %U %n' /run/gpucost/spool/*").stdout.splitlines()

        guard = "if [ -x {0}/gpucost-prolog ]; then {0}/gpucost-prolog || true; fi"
        here, nowhere = documented(guard.format("/etc/gpucost/hooks")), guard.format("/nowhere")
        said = self.host.run(f"set -e; export SLURM_JOB_ID=9; {nowhere}; {here}; echo went on; ls /run/gpucost/spool")
        self.guarded = said.stdout

    def _upgrade(self) -> None:
        """From the old to the new version and back, often, killed at random; hooks run all the time."""
        host = self.host
        self.sums = {part: self._sums(part) for part in ("old", "new")}
        loop = subprocess.Popen(host.words(_LOOP), stdin=subprocess.DEVNULL)
        rng = random.Random(6)
        for part in ["new", "old"] * (KILLS // 2):
            words = host.words(f"exec dpkg --force-unsafe-io -i {part}/*.deb >/dev/null 2>&1")
            begun = subprocess.Popen(words, stdin=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.05, 1.5))
            host.run("pkill -KILL -x dpkg; pkill -KILL -f /var/lib/dpkg/info/gpucost", check=False)
            begun.send_signal(signal.SIGKILL)
            begun.wait()
        host.run("dpkg --configure -a || :; dpkg -i new/*.deb", timeout=120)
        self.upgraded = host.run("gpucost --version; gpucostd --version").stdout.splitlines()
        self.state = host.run("systemctl is-active gpucostd", check=False).stdout.strip()
        host.path("/debs/enough").touch()
        loop.wait(20)
        failed = host.path("/debs/failed")
        self.failed = failed.read_text() if failed.exists() else ""
        self.seen = set(host.path("/debs/seen").read_text().splitlines())
        self.ran = int(host.path("/debs/ran").read_text())
        if not host.systemd:
            daemon = subprocess.Popen(host.words("exec gpucostd run --config /etc/gpucost/gpucost.toml"))
        host.until('[ -z "$(ls /run/gpucost/spool)" ]', timeout=60)
        if not host.systemd:
            host.run("pkill -TERM -f /usr/bin/gpucostd")
            daemon.wait(30)
        self.taken = int(host.run(f"sqlite3 {LEDGER} 'SELECT count(*) FROM hook_event WHERE job_id > 1000000'").stdout)

    def _sums(self, part: str) -> set[str]:
        """The checksums of a version's hooks."""
        read = f"dpkg-deb --fsys-tarfile {part}/gpucost-node_*.deb | tar -xO ./usr/lib/gpucost-node/hooks"
        return set(self.host.run(f"{read}/gpucost-prolog | cksum; {read}/gpucost-epilog | cksum").stdout.splitlines())

    def _remove(self) -> None:
        host, hooks = self.host, " ".join(HOOKS)
        each = f"for hook in {hooks}; do env -i SLURM_JOB_ID=8 $hook; echo $?; done"
        kept = f"cksum {LEDGER} /etc/gpucost/gpucost.toml; cksum /var/backups/gpucost/*"
        self.laying = host.traced("/var/lib/dpkg/info/gpucost-node.postinst configure 0.1.0")
        self.silencing = host.traced(documented("apt-get remove -y gpucost gpucost-node"))
        self.kept = [host.run(kept, check=False).stdout]
        self.after_removal = host.run(each).stdout.split()
        self.left_running = host.run("pgrep -f /usr/bin/gpucostd", check=False).stdout
        host.run(documented("apt-get purge -y gpucost gpucost-node"))
        self.kept.append(host.run(kept, check=False).stdout)
        self.after_purge = host.run(each).stdout.split()
        self.spooled = host.run("ls -A /run/gpucost/spool").stdout
        self.left = self._files() - self.before
        host.run("dpkg -i old/gpucost-node_*.deb")
        self.again = set(host.run(f"for hook in {hooks}; do cksum <$hook; done").stdout.splitlines())
