"""Saves what a real Slurm prints, for the parsers' tests: ``python -m tests.cluster.recordings [SUITE ...]``.

Into tests/recordings/slurm-VERSION: accounting with epoch and with ISO times, the controller's jobs while they run,
the nodes' devices, and the hooks' event files with their modification times.
"""

from __future__ import annotations

import json
import shutil
import sys

from tests.cluster import workload
from tests.cluster.cluster import NODES, SEPARATOR, Cluster
from tests.cluster.rootfs import REPOSITORY, SUITES

FIELDS = (
    "JobIDRaw,JobID,Cluster,DBIndex,Submit,Eligible,Start,End,ElapsedRaw,Suspended,State,ExitCode,User,Account,"
    "Partition,QOS,WCKey,NNodes,NodeList,AllocTRES,ReqTRES,JobName"
)
EPOCH = {"SLURM_TIME_FORMAT": "%s", "TZ": "UTC"}
KOLKATA = {"TZ": "Asia/Kolkata"}


def record(suite: str) -> None:
    """One boot, one workload, its outputs."""
    with Cluster(suite) as cluster:
        target = REPOSITORY / "tests" / "recordings" / f"slurm-{cluster.version()}"
        shutil.rmtree(target / "spool", ignore_errors=True)
        target.mkdir(parents=True, exist_ok=True)

        def keep(name: str, *command: str, env: dict[str, str] | None = None, stderr: bool = False) -> None:
            done = cluster.run(command, env=env)
            (target / name).write_text(done.stderr if stderr else done.stdout, errors="surrogateescape")

        sacct = ("sacct", "-a", "-D", "-X", "-P", f"--delimiter={SEPARATOR}", "-S", "now-1day", f"--format={FIELDS}")
        squeue = ("squeue", "--all", "--states=all", "--array", "--noheader", "--format=%A %U")
        keep("scontrol-none.txt", "scontrol", "show", "job", "-d")

        def middle() -> None:
            keep("scontrol-running.txt", "scontrol", "show", "job", "-d")
            keep("scontrol-running-o.txt", "scontrol", "show", "job", "-d", "-o")
            keep("squeue-running.txt", *squeue)
            keep("sacct-running-epoch.txt", *sacct, env=EPOCH)

        ran = workload.submit(cluster, middle)
        keep("scontrol-ended.txt", "scontrol", "show", "job", "-d")
        keep("squeue-ended.txt", *squeue)
        keep("sacct-epoch.txt", *sacct, env=EPOCH)
        keep("sacct-iso-utc.txt", *sacct, env={"TZ": "UTC"})
        keep("sacct-iso-kolkata.txt", *sacct, env=KOLKATA)
        for node in NODES:
            keep(f"slurmd-G-{node}.txt", "slurmd", "-G", "-N", node, stderr=True)
        spool = target / "spool"
        spool.mkdir()
        times = {}
        for file in sorted(cluster.path("/run/gpucost/spool").iterdir()):
            (spool / file.name).write_bytes(file.read_bytes())
            times[file.name] = file.stat().st_mtime_ns
        (target / "spool-mtimes-ns.json").write_text(json.dumps(times, indent=1) + "\n")
        (target / "seen.tsv").write_text(cluster.read("/scratch/seen/jobs"))
        (target / "jobs.json").write_text(json.dumps(ran.jobs, indent=1) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or SUITES:
        record(name)
