"""A made-up fleet: which jobs ran on which node when, what hooks and driver said of it, what sacct would answer.

All of it is a function of time, so that the nodes' simulator and the stand-in for sacct (this file, run as a command)
tell the same story without talking to one another.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BUSY = 0.85
"""The part of the time between two jobs' starts on a node that the first one runs."""
USERS, USERS_AN_ACCOUNT = 800, 7
MOST_POWER_W = 400


class Job(NamedTuple):
    """One job, on one node."""

    id: int
    node: int
    gpus: int
    start_ms: int
    end_ms: int

    @property
    def user(self) -> str:
        return f"user{self.id % USERS:03d}"

    @property
    def account(self) -> str:
        return f"lab{self.id % USERS // USERS_AN_ACCOUNT:03d}"


class Fleet(NamedTuple):
    """``nodes`` of ``gpus`` GPUs, and ``jobs`` a day in even steps, node after node."""

    nodes: int
    gpus: int
    jobs: int

    def job(self, number: int) -> Job:
        """The job of a number, which counts from 1970 on."""
        step = DAY_MS / self.jobs
        start = int(number * step) // 1000 * 1000
        lasts = int(self.nodes * step * BUSY) // 1000 * 1000
        return Job(number % 2_000_000_000, number % self.nodes, 1 + number * 7 % self.gpus, start, start + lasts)

    def jobs_of(self, node: int, start_ms: int, end_ms: int) -> Iterator[Job]:
        """The jobs of a node that overlap a time, in order."""
        step = self.nodes * DAY_MS / self.jobs
        turn = int(start_ms / step) - 2
        while True:
            job = self.job(turn * self.nodes + node)
            if job.start_ms >= end_ms:
                return
            if job.end_ms > start_ms:
                yield job
            turn += 1

    def jobs_in(self, start_ms: int, end_ms: int) -> Iterator[Job]:
        """All jobs that overlap a time, in order of their starts."""
        step = DAY_MS / self.jobs
        for number in range(int(start_ms / step) - self.nodes - 1, int(end_ms / step) + 1):
            job = self.job(number)
            if job.start_ms < end_ms and job.end_ms > start_ms:
                yield job

    def said(self, node: int, start_ms: int, end_ms: int) -> list[tuple[int, str, Any]]:
        """(when it is known, table, row) of what became known on a node in [start, end), in order."""
        from slurm_gpucost.domain.evidence import HookEvent
        from slurm_gpucost.domain.windows import Window

        name, boot = f"n{node}", f"boot-{node}"
        found: list[tuple[int, str, Any]] = []
        jobs = list(self.jobs_of(node, start_ms - 2 * HOUR_MS, end_ms))
        for job in jobs:
            for hook, at in (("prolog", job.start_ms + 300), ("epilog", job.end_ms + 400)):
                if start_ms <= at < end_ms:
                    indexes = ",".join(map(str, range(job.gpus)))
                    row = HookEvent(
                        "fleet", job.id, blake2b(f"{job.id} {hook}".encode(), digest_size=16).digest(), hook, name, at,
                        boot, f"{at // 1000}.12", 4711, 1000 + job.id % USERS, job.user, job.account, "gpu", 0, None,
                        indexes, indexes, "0:0" if hook == "epilog" else None,
                    )  # fmt: skip
                    found.append((at, "hook_event", row))
        first_hour = start_ms // HOUR_MS * HOUR_MS - HOUR_MS
        for gpu in range(self.gpus):
            edges = set(range(first_hour, end_ms + 1, HOUR_MS))
            for job in jobs:
                if gpu < job.gpus:
                    edges |= {job.start_ms + 300, job.end_ms + 400}
            for low, high in pairwise(sorted(edges)):
                if start_ms <= high < end_ms:
                    took = high - low
                    watts = 60 + (job_at(jobs, gpu, low) is not None) * (MOST_POWER_W - 60)
                    window = Window(
                        device(node, gpu), low, high, took, watts * took, took, 80 * took, took, 40 * took, took,
                        20_000 * took, 20_000, took, "counter", 0, watts * low % 2**40, watts * high % 2**40, boot,
                    )  # fmt: skip
                    found.append((high, "usage_window", window))
        return sorted(found, key=lambda one: one[0])

    def inventory(self, node: int, at_ms: int) -> list[tuple[int, str, Any]]:
        """What a node says of its devices and slots when it is new."""
        from slurm_gpucost.domain.evidence import DeviceReport, SlotReport

        found: list[tuple[int, str, Any]] = []
        for gpu in range(self.gpus):
            report = DeviceReport(
                device(node, gpu), b"inventry", at_ms, f"n{node}", "NVIDIA A100-SXM4-80GB", "", gpu, gpu, "",
                85_899_345_920, None, "580.00",
            )  # fmt: skip
            found.append((at_ms, "device_report", report))
            slot = SlotReport("fleet", f"n{node}", "gpu", gpu, "a100", device(node, gpu), at_ms)
            found.append((at_ms, "slot_report", slot))
        return found


def device(node: int, gpu: int) -> str:
    """A UUID."""
    return f"GPU-{node:08x}-0000-4000-8000-{gpu:012x}"


def job_at(jobs: list[Job], gpu: int, at_ms: int) -> Job | None:
    """Who holds a GPU at a moment."""
    return next((job for job in jobs if gpu < job.gpus and job.start_ms <= at_ms < job.end_ms), None)


def main() -> None:
    """Answers as sacct and `scontrol show node` do where gpucost asks; others of Slurm have nothing to tell."""
    if sys.argv[-1] == "node":
        fleet = Fleet(*map(int, os.environ["FLEET"].split(",")))
        for node in range(fleet.nodes):
            print(f"NodeName=n{node} Arch=x86_64 CPUTot=64 Gres=gpu:a100:{fleet.gpus} NodeAddr=n{node} State=MIXED ")
        return
    options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
    if "starttime" not in options:
        return
    fleet = Fleet(*map(int, os.environ["FLEET"].split(",")))
    low, high = (
        int(datetime.fromisoformat(options[key]).replace(tzinfo=UTC).timestamp() * 1000)
        for key in ("starttime", "endtime")
    )
    now, fields, separator = int(time.time() * 1000), options["format"].split(","), options["delimiter"]
    out = [separator.join(fields)]
    for job in fleet.jobs_in(max(low, int(os.environ["FLEET_SINCE"])), min(high, now)):
        ended = job.end_ms <= now
        start, end = job.start_ms // 1000, job.end_ms // 1000
        row = {
            "JobIDRaw": job.id, "JobID": job.id, "Cluster": "fleet", "DBIndex": job.id, "Submit": start - 5,
            "Eligible": start - 5, "Start": start, "End": end if ended else "Unknown",
            "ElapsedRaw": (end if ended else now // 1000) - start, "Suspended": "00:00:00",
            "State": "COMPLETED" if ended else "RUNNING", "ExitCode": "0:0", "User": job.user, "Account": job.account,
            "Partition": "gpu", "QOS": "normal", "NodeList": f"n{job.node}", "NNodes": 1,
            "AllocTRES": f"billing=8,cpu=8,gres/gpu:a100={job.gpus},gres/gpu={job.gpus},mem=64G,node=1",
        }  # fmt: skip
        out.append(separator.join(str(row.get(field, "")) for field in fields))
    print("\n".join(out))


if __name__ == "__main__":
    main()
