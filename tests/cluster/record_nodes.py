"""Saves what a real Slurm says of its nodes: ``python -m tests.cluster.record_nodes [SUITE ...]`` (root, two minutes).

Into tests/recordings/slurm-VERSION: the accounting's node events and reservations, the controller's nodes, and
node-story.json, which tells what was done to which node when, so that a test can hold the events against it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.rootfs import REPOSITORY, SUITES

EPOCH = {"SLURM_TIME_FORMAT": "%s"}
EVENTS = (
    "sacctmgr", "-P", "show", "event", "cluster=alpha", "event=node", "start=uts1577836800", "end=uts4102444800",
    "format=Cluster,NodeName,Start,End,StateRaw,State,User,Reason",
)  # fmt: skip
RESERVATIONS = (
    "sacctmgr", "-P", "show", "reservation", "cluster=alpha", "start=uts1577836800", "end=uts4102444800",
    "format=Cluster,ID,Start,End,Flags,NodeNames,Name",
)  # fmt: skip
CONF = "SlurmdTimeout=20\nSuspendProgram=/bin/true\nResumeProgram=/bin/true\nRebootProgram=/bin/true\n"
CONF += "SuspendTimeout=4\nResumeTimeout=30\nSuspendTime=100000\nReturnToService=1\n"


class Story:
    """What was done to the nodes, with the time of each."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lines: list[tuple[float, str, str]] = []

    def update(self, node: str, state: str, reason: str = "") -> None:
        """Set a state; then two seconds, for events have whole seconds."""
        self.note(node, f"{state} {reason}".strip())
        self.cluster.scontrol("update", f"nodename={node}", f"state={state}", *([f"reason={reason}"] if reason else []))
        time.sleep(2)

    def note(self, node: str, what: str) -> None:
        self.lines.append((round(time.time(), 3), node, what))

    def slurmd(self, node: str, *options: str) -> None:
        """End a node's slurmd, and with options start it anew."""
        pid = self.cluster.read(f"/run/slurmd-{node}.pid").strip()
        self.cluster.run(["kill", "-KILL", pid], check=False)
        if options:
            time.sleep(1)
            self.cluster.run(["slurmd", *options, "-N", node])

    def is_now(self, node: str, *states: str) -> bool:
        """Whether sinfo's word for a node is one of these. Asked for one node alone, it can tell old news for ever."""
        told = self.cluster.run(["sinfo", "-h", "-N", "-o", "%N %T"]).stdout
        return any(line == f"{node} {state}" for line in told.splitlines() for state in states)


def play(story: Story, target: Path) -> None:
    """Every state that the accounting can tell; what is open at the end stays open."""
    cluster = story.cluster
    time.sleep(2)
    story.update("n1", "down", "power supply | left one")
    story.update("n1", "resume")
    cluster.run(["scontrol", "update", "nodename=n1", "state=down", 'reason=two\nlines, "quotes" and |'])
    story.note("n1", "down with a reason of two lines")
    time.sleep(2)
    story.update("n1", "down", "another reason")
    story.update("n1", "drain", "drained while down")
    story.update("n1", "resume")
    story.update("n2", "drain", "drained while idle")
    story.update("n2", "down", "down while drained")
    story.update("n2", "resume")
    job = cluster.sbatch("sleep 8", "alice", "--gres=gpu:1", "--nodelist=n1")
    cluster.wait_state(job, "RUNNING")
    story.update("n1", "drain", "drained with a job")
    keep(cluster, target / "scontrol-show-node-o.txt", "scontrol", "show", "node", "-o")
    keep(cluster, target / "scontrol-show-node.txt", "scontrol", "show", "node")
    cluster.wait([job])
    cluster.until(lambda: story.is_now("n1", "drained"), "n1 to be drained")
    story.note("n1", "job ended")
    time.sleep(1)
    story.update("n1", "resume")
    story.update("n2", "fail", "failing")
    story.update("n2", "resume")
    story.note("n2", "reservation maint")
    cluster.scontrol("create", "reservation", "reservationname=service", "starttime=now", "duration=00:01:00",
                     "nodes=n2", "users=root", "flags=maint,ignore_jobs")  # fmt: skip
    cluster.scontrol("create", "reservation", "reservationname=later", "starttime=now+1hour", "duration=60",
                     "nodes=n1", "users=alice")  # fmt: skip
    time.sleep(3)
    story.update("n2", "drain", "drained in maintenance")
    story.update("n2", "resume")
    story.note("n2", "reservation deleted")
    cluster.scontrol("delete", "reservationname=service")
    time.sleep(2)
    story.note("n1", "slurmd killed")
    story.slurmd("n1")
    cluster.until(lambda: story.is_now("n1", "down*"), "n1 to be down*", 60)
    story.note("n1", "seen down")
    cluster.run(["slurmd", "-N", "n1"])
    cluster.until(lambda: story.is_now("n1", "idle"), "n1 to be idle", 60)
    story.note("n1", "seen idle")
    time.sleep(2)
    story.note("n1", "reboot")
    cluster.scontrol("reboot", "ASAP", "nextstate=resume", "reason=new kernel", "n1")
    cluster.until(lambda: story.is_now("n1", "reboot^"), "n1 to reboot", 60)
    story.slurmd("n1", "-b")
    cluster.until(lambda: story.is_now("n1", "idle"), "n1 to be back", 60)
    story.note("n1", "back from its reboot")
    story.update("n1", "power_down", "no work")
    cluster.until(lambda: story.is_now("n1", "idle~"), "n1 to be powered down", 60)
    story.note("n1", "seen powered down")
    time.sleep(2)
    story.update("n1", "power_up")
    story.slurmd("n1", "-b")
    cluster.until(lambda: story.is_now("n1", "idle"), "n1 to be up", 60)
    story.note("n1", "seen up")
    story.update("n2", "down", "open at the end")


def keep(cluster: Cluster, path: Path, *command: str) -> None:
    """What a command prints."""
    path.write_text(cluster.run(command, env=EPOCH).stdout, errors="surrogateescape")


def record(suite: str) -> None:
    """One boot, one story, its outputs."""
    with Cluster(suite, slurm_conf=CONF) as cluster:
        target = REPOSITORY / "tests" / "recordings" / f"slurm-{cluster.version()}"
        target.mkdir(parents=True, exist_ok=True)
        story = Story(cluster)
        play(story, target)
        keep(cluster, target / "sacctmgr-events.txt", *EVENTS)
        keep(cluster, target / "sacctmgr-reservations.txt", *RESERVATIONS)
        (target / "node-story.json").write_text(json.dumps(story.lines, indent=1) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or SUITES:
        record(name)
