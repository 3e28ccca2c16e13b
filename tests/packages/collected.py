"""The collector and a node's daemon under their units: enrolled as docs/install.md says, asked by root and by users.

Then the same two in mixed versions: a newer gpucost whose hook events have one more column, in the unit's sandbox.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tests.packages.documented import configure, documented, install
from tests.packages.host import Host
from tests.packages.served import LEDGER, prepare

SOCKET, TOKEN = "/run/gpucost/collector.sock", "/etc/gpucost/node.token"
CONFIG, TOKENS = "/etc/gpucost/gpucost.toml", "/var/lib/gpucost/tokens"
UNITS = ("gpucost-collector", "gpucost-node")
_DROP_INS = "/run/systemd/system"
_DEVICES = "SELECT count(DISTINCT device) FROM slot_report WHERE device != ''"
_HOOK = (
    "env -i SLURM_JOB_ID={job} SLURMD_NODENAME={node} SLURM_JOB_GPUS=0 SLURM_JOB_USER={user} "
    "SLURM_JOB_UID=$(id -u {user}) SLURM_JOB_ACCOUNT=physics SLURM_CLUSTER_NAME=alpha /etc/gpucost/hooks/gpucost-prolog"
)
_NEWER = """
mkdir newer
dpkg-deb --fsys-tarfile new/gpucost-node_*.deb | tar -xC newer
cd newer
sed -i 's|"/usr/lib/gpucost-node"|"/debs/newer/usr/lib/gpucost-node"|' usr/bin/gpucostd
cd usr/lib/gpucost-node/slurm_gpucost
echo "ALTER TABLE hook_event ADD COLUMN novel TEXT NOT NULL DEFAULT '';" >ledger/migrations/9999_novel.sql
sed -i "s|^    exit_code: str . None$|&\\n    novel: str = ''|" domain/evidence.py
grep -q novel domain/evidence.py
"""


@dataclass
class Collected:
    """What was seen."""

    modes: list[str] = field(default_factory=list)
    rights: dict[str, list[str]] = field(default_factory=dict)
    """By unit: user, capabilities in force and seccomp mode of its first process."""
    jobs: dict[str, list[str]] = field(default_factory=dict)
    """The numbers of the jobs that ``gpucost jobs`` shows, by who asked."""
    status: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    """What a newer node says to an older collector."""
    before: list[str] = field(default_factory=list)
    """The jobs whose events the ledger had then."""
    after: list[str] = field(default_factory=list)
    """And at the end, when the newer collector had heard a newer node and an older one."""
    nodes: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By node that was heard: its version, and how many of its journal's entries never came."""


def collect(host: Host) -> Collected:
    """From a host without a package to one on which collectors and nodes of both versions have run."""
    seen = Collected()
    install(host)
    configure(host)
    prepare(host, "gpucost-node")
    host.run(f"sed -i 's|^# collector_url = .*|collector_url = \"http://127.0.0.1:6843\"|' {CONFIG}")
    host.run("useradd ann && useradd ben")
    host.run(documented("systemctl enable --now gpucost-collector.service gpucost-backup.timer"))
    host.until(f"[ -S {SOCKET} ]")
    host.run(documented(f"install -d -o gpucost -m 700 {TOKENS}"))
    host.run(documented(f'runuser -u gpucost -- gpucost node enroll "n[1-64]" --directory {TOKENS}'))
    host.run(f"install -m 600 {TOKENS}/n1.token {TOKEN}")
    host.run(documented("systemctl start gpucost-node.service"))
    _job(host, 7001, "ann")
    _job(host, 7002, "ben")
    _arrived(host, 7001, 7002, table="attempt")
    host.until(f'[ "$(sqlite3 {LEDGER} "{_DEVICES}")" = 2 ]')
    _look(host, seen)
    _mix(host, seen)
    return seen


def _job(host: Host, job: int, user: str, node: str = "n1") -> None:
    host.run(_HOOK.format(job=job, user=user, node=node))


def _arrived(host: Host, *jobs: int, table: str = "hook_event") -> None:
    """Wait until the ledger has the events of these jobs; in ``attempt`` it has what it computes from them."""
    ids = ", ".join(map(str, jobs))
    asked = f"SELECT count(DISTINCT job_id) FROM {table} WHERE job_id IN ({ids})"
    host.until(f'[ "$(sqlite3 {LEDGER} "{asked}")" = {len(jobs)} ]')


def _look(host: Host, seen: Collected) -> None:
    files = f"/run/gpucost {SOCKET} {LEDGER} /var/lib/gpucost/journal.db {TOKENS} {TOKENS}/n1.token"
    seen.modes = host.run(f"stat -c '%a %U:%G %n' {files}").stdout.splitlines()
    for unit in UNITS:
        main = host.run(f"systemctl show --property=MainPID --value {unit}").stdout.strip()
        told = host.run(f"ps -o user= -p {main}; grep -E '^(CapEff|Seccomp):' /proc/{main}/status").stdout.split()
        seen.rights[unit] = [told[0], *told[2::2]]
    for user in ("root", "ann"):
        asks = f"runuser -u {user} -- gpucost"
        seen.jobs[user] = [job["job_id"] for job in json.loads(host.run(f"{asks} jobs --json").stdout)]
        seen.status[user] = host.run(f"{asks} status").stdout


def _mix(host: Host, seen: Collected) -> None:
    """A node before the collector, which the page advises against; then the collector; then a node left behind."""
    host.run(_NEWER)
    _newer(host, "node")
    _job(host, 7003, "ann")
    refusal = "journalctl -o cat -u gpucost-node | grep 'does not understand'"
    host.until(refusal)
    seen.refused = host.run(refusal).stdout
    seen.before = _jobs(host)
    _newer(host, "collector")
    host.until(f"[ -S {SOCKET} ]")
    host.run("systemctl restart gpucost-node")  # by itself it tries once a minute
    _arrived(host, 7003)
    host.run("systemctl stop gpucost-node && rm /var/lib/gpucost/journal.db*")
    host.run(f"rm -r {_DROP_INS}/gpucost-node.service.d && install -m 600 {TOKENS}/n2.token {TOKEN}")
    host.run(f"sed -i 's|^collector_url = .*|&\\nname = \"n2\"|' {CONFIG}")
    host.run("systemctl daemon-reload && systemctl start gpucost-node")
    _job(host, 7004, "ann", "n2")
    _arrived(host, 7004)
    seen.after = _jobs(host)
    nodes = json.loads(host.run("gpucost node list --json").stdout)
    seen.nodes = {one["node"]: (one["version"], one["missing"]) for one in nodes if one["version"]}


def _newer(host: Host, command: str) -> None:
    """Let a unit start the newer gpucost."""
    folder = f"{_DROP_INS}/gpucost-{command}.service.d"
    host.run(f"mkdir {folder}")
    words = f"/debs/newer/usr/bin/gpucostd {command} --config {CONFIG}"
    host.path(f"{folder}/newer.conf").write_text(f"[Service]\nExecStart=\nExecStart={words}\n")
    host.run(f"systemctl daemon-reload && systemctl restart gpucost-{command}")


def _jobs(host: Host) -> list[str]:
    return host.run(f"sqlite3 {LEDGER} 'SELECT DISTINCT job_id FROM hook_event ORDER BY job_id'").stdout.split()
