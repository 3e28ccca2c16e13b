"""The units on a host that systemd has booted: what it says of them, and daemons at work in their sandbox."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from typing import Any

from tests.fakenvml.build import build as fake_driver
from tests.packages.built import REPOSITORY
from tests.packages.documented import documented
from tests.packages.host import Host

UNITS = ("gpucost-node", "gpucost-collector", "gpucostd", "gpucost-backup")
LEDGER = "/var/lib/gpucost/ledger.db"
_SLURM_CONF = """ClusterName=alpha
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
GresTypes=gpu
NodeName=n1 NodeHostname=localhost CPUs=1 RealMemory=500 Gres=gpu:a100:2
PartitionName=main Nodes=n1 Default=YES
"""
# A user's process on the GPU: its executable is dash, though it calls itself by the script's name.
_USERS_PROCESS = "#!/bin/sh\nsleep 600\nexit 0\n"
_PROBE = "[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/usr/bin/python3 /debs/probe.py\n"


@dataclass
class Served:
    """What was seen."""

    resting: list[str]
    """States of the units before anyone has enabled one."""
    verified: str
    scores: dict[str, str] = field(default_factory=dict)
    """systemd's score of each unit, of 10; less is better."""
    probed: dict[str, Any] = field(default_factory=dict)
    """What probe.py could do in the collector's place."""
    slots: str = ""
    process: list[str] = field(default_factory=list)
    rights: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)


def serve(host: Host) -> Served:
    """Leaves gpucostd running, in its sandbox, over a stand-in for the driver and a real slurmd."""
    resting = host.run("systemctl is-active gpucost-node gpucostd gpucost-collector", check=False).stdout.split()
    folder = "cd /usr/lib/systemd/system &&"
    seen = Served(resting, host.run(f"{folder} systemd-analyze verify ./gpucost*.service ./gpucost*.timer").stdout)
    for unit in UNITS:
        said = host.run(f"{folder} systemd-analyze security --no-pager --offline=true ./{unit}.service").stdout
        seen.scores[unit] = re.findall(r"exposure level for \S+: ([\d.]+)", said)[0]
    seen.probed = _collect(host)
    prepare(host)
    host.run(documented("systemctl enable --now gpucostd.service"))
    for rows in ("slot_report WHERE device != ''", "hook_event", "device_process"):
        host.until(f'[ "$(sqlite3 {LEDGER} "SELECT count(*) FROM {rows}")" -gt 0 ]', timeout=40)
    seen.slots = host.run(f"sqlite3 {LEDGER} \"SELECT count(*) FROM slot_report WHERE device != ''\"").stdout.strip()
    seen.process = host.run(f"sqlite3 {LEDGER} 'SELECT user, executable FROM device_process'").stdout.split()
    main = host.run("systemctl show --property=MainPID --value gpucostd").stdout.strip()
    seen.rights = host.run(f"grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/{main}/status").stdout.split()
    host.run(documented("systemctl start gpucost-backup.service"))
    for day in range(10, 30):
        host.run(f"touch /var/backups/gpucost/ledger-202501{day}T000000Z.db")
    host.run("sleep 1; systemctl start gpucost-backup.service")
    seen.copies = host.run("ls /var/backups/gpucost").stdout.split()
    return seen


def _collect(host: Host) -> dict[str, Any]:
    """The collector's unit with another program in its place."""
    shutil.copy(REPOSITORY / "tests/packages/probe.py", host.path("/debs/probe.py"))
    host.run("umask 077; touch /var/lib/gpucost/journal.db /etc/gpucost/node.token")
    folder = "/run/systemd/system/gpucost-collector.service.d"
    host.run(f"mkdir -p {folder}")
    host.path(f"{folder}/probe.conf").write_text(_PROBE)
    host.run("systemctl daemon-reload; systemctl start gpucost-collector.service")
    probed: dict[str, Any] = json.loads(host.path("/var/lib/gpucost/probe.json").read_text())
    host.run(f"rm -r {folder} /var/lib/gpucost/{{probe*,journal.db}} /etc/gpucost/node.token")
    host.run("systemctl daemon-reload")
    return probed


def prepare(host: Host, unit: str = "gpucostd") -> None:
    """MUNGE, a slurm.conf, two GPUs that a unit sees, one of them used by a user's process."""
    host.path("/etc/slurm/slurm.conf").write_text(_SLURM_CONF)
    host.path("/etc/slurm/gres.conf").write_text("NodeName=n1 Name=gpu Type=a100 File=/dev/fakegpu[0-1]\n")
    host.path("/etc/slurm/cgroup.conf").write_text("CgroupPlugin=disabled\n")
    host.run("dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1")
    host.run("chown -R munge: /etc/munge && chmod 400 /etc/munge/munge.key && systemctl start munge")
    host.path("/debs/liar").write_text(_USERS_PROCESS)
    as_munge = "setsid setpriv --reuid=munge --clear-groups"
    host.run(f"chmod 755 /debs/liar; {as_munge} /debs/liar </dev/null >/dev/null 2>&1 &")
    host.until("pgrep -x liar")
    pid = host.run("pgrep -o -x liar").stdout.strip()
    library = next(host.path("/usr/lib").glob("*-linux-gnu"))
    shutil.copy(fake_driver() / "libnvidia-ml.so.1", library / "libnvidia-ml.so.1")
    host.path("/etc/fakenvml").write_text(f"devices 2\ndevice 0 process {pid} 100\n")
    host.run(f"mkdir /etc/systemd/system/{unit}.service.d && ldconfig")
    drop_in = host.path(f"/etc/systemd/system/{unit}.service.d/stand-in.conf")
    drop_in.write_text("[Service]\nEnvironment=FAKENVML_SCENARIO=/etc/fakenvml\n")
    host.run("systemctl daemon-reload")
