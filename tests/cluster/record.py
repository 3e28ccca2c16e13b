"""Makes the demo's recording on a real cluster: ``python -m tests.cluster.record`` (root; some eight minutes).

Slurm, its accounting, controller, hooks and jobs are real; the driver is the stand-in of tests/fakenvml, and the
recording says so.
"""

from __future__ import annotations

import gzip
import json
import time

from tests.cluster.cluster import Cluster
from tests.cluster.rootfs import REPOSITORY
from tests.fakenvml.build import build

TARGET = REPOSITORY / "slurm_gpucost" / "demo" / "recording.jsonl.gz"
DEVICES = 8


def driver(now_ms: int) -> str:
    """A scenario for the stand-in: eight A100 whose work and power come and go."""
    lines = ["driver 580.00", f"devices {DEVICES}"]
    for i in range(DEVICES):
        lines += [
            f"device {i} uuid GPU-5{i}000000-0000-4000-8000-00000000000{i}",
            f"device {i} name NVIDIA A100-SXM4-80GB",
            f"device {i} serial 132000000000{i}",
            f"device {i} minor {i}",
            f"device {i} memory_total_mib 81920",
            f"device {i} memory_used_mib {20000 + 5000 * i}",
            f"device {i} energy {7_000_000 * (i + 1)} {210_000 + 15_000 * i} {now_ms}",
        ]
        lines += [
            f"device {i} util {now_ms + 20_000 * n} {(35 * n + 17 * i) % 101} {(11 * n + 7 * i) % 60}"
            for n in range(25)
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Boot, run jobs of a few minutes beside the daemon, and keep what the daemon was told."""
    with Cluster("trixie") as cluster:
        began = int(time.time() * 1000)
        library = build()
        cluster.run(["mkdir", "-p", "/opt/fakenvml", "/var/lib/gpucost"])
        cluster.path("/opt/fakenvml/libnvidia-ml.so.1").write_bytes((library / "libnvidia-ml.so.1").read_bytes())
        cluster.write("/opt/fakenvml/scenario", driver(began))
        config = (REPOSITORY / "slurm_gpucost" / "demo" / "gpucost.toml").read_text()
        config = config.replace("@DIRECTORY@/ledger.db", "/var/lib/gpucost/ledger.db")
        config = config.replace("@DIRECTORY@/spool", "/run/gpucost/spool")
        config += "\n[accounting]\ninterval_seconds = 5\n\n[controller]\ninterval_seconds = 5\n"
        cluster.write("/etc/gpucost/gpucost.toml", config)
        variables = (
            "LD_LIBRARY_PATH=/opt/fakenvml FAKENVML_SCENARIO=/opt/fakenvml/scenario PYTHONPATH=/opt/gpucost:/opt/site"
        )
        inside = "/opt/gpucost/tests/cluster/record_inside.py /etc/gpucost/gpucost.toml /var/lib/gpucost/recording.gz"
        daemon = cluster.spawn(f"env {variables} python3 -B {inside}", "recorder")
        time.sleep(3)
        jobs = [
            cluster.sbatch("sleep 280", "alice", "--gres=gpu:a100:2", "--job-name=train"),
            cluster.sbatch("srun sleep 240", "bob", "--gres=gpu:1", "--nodes=2", "--job-name=fold"),
            cluster.sbatch("sleep 150", "carol", "--gres=gpu:1", "--array=1-3", "--job-name=sweep"),
            cluster.sbatch("sleep 120", "carol", "--gres=shard:3", "--account=biology", "--job-name=notebook"),
            cluster.sbatch("sleep 120", "bob", "--gres=shard:1", "--job-name=notebook"),
            cluster.sbatch("sleep 70; exit 3", "bob", "--gres=gpu:1", "--job-name=crash"),
            cluster.sbatch("true", "alice", "--gres=gpu:1", "--job-name=probe"),
        ]
        cancelled = cluster.sbatch("sleep 600", "alice", "--gres=gpu:2", "--job-name=mistake")
        requeued = cluster.sbatch("sleep 100", "carol", "--gres=gpu:1", "--job-name=again")
        time.sleep(100)
        cluster.scontrol("update", "nodename=n2", "state=drain", "reason=fan 3 of chassis 1")
        time.sleep(100)
        cluster.run(["scontrol", "requeue", str(requeued)], check=False)
        time.sleep(2)
        cluster.run(["scontrol", "update", f"jobid={requeued}", "starttime=now"], check=False)
        cluster.scontrol("update", "nodename=n2", "state=resume")
        time.sleep(60)
        cluster.run(["scancel", str(cancelled)])
        cluster.wait([*jobs, cancelled, requeued], timeout=600)
        time.sleep(12)
        ended = int(time.time() * 1000)
        cluster.kill(daemon)
        cluster.until(lambda: not cluster.alive(daemon), "the recorder's end")
        about = {
            "kind": "about",
            "at_ms": began,
            "end_ms": ended,
            "text": (
                f"A recording of real jobs on a real Slurm {cluster.version()} with its accounting, controller and "
                f"hooks, made on {time.strftime('%Y-%m-%d', time.gmtime(began // 1000))}.\nThe GPUs are simulated: "
                "their energy and "
                "utilization came from a stand-in for NVIDIA's driver library."
            ),
        }
        told = gzip.decompress(cluster.path("/var/lib/gpucost/recording.gz").read_bytes()).decode().splitlines()
        lines = [json.dumps(about), *sorted(told, key=lambda line: json.loads(line)["at_ms"])]
        TARGET.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
