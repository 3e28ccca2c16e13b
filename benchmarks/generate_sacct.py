"""Writes a month of made-up GPU jobs as saved sacct output: ``generate_sacct.py ROWS [MONTH] > FILE``.

Months of 31 days count from 0, which is January 2025 in Asia/Kolkata. The same arguments give the same file.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

HEADER = (
    "JobIDRaw,JobID,Cluster,DBIndex,Submit,Eligible,Start,End,ElapsedRaw,Suspended,State,ExitCode,"
    "User,Account,Partition,QOS,NodeList,AllocTRES,NNodes"
).split(",")
MONTH_START = 1735669800  # 2025-01-01T00:00 in Asia/Kolkata: ten months on, nothing lies in the future
MONTH_SECONDS = 31 * 86400


def rows(count: int, month: int = 0) -> Iterator[list[str]]:
    """``count`` jobs in order of their ids: ids and submit times rise together, as Slurm's do."""
    random.seed(1 + month)
    step = MONTH_SECONDS / count
    for i in range(count):
        submit = int(MONTH_START + month * MONTH_SECONDS + i * step)
        start = submit + int(random.expovariate(1 / 600))
        elapsed = int(random.lognormvariate(7, 1.6))
        gpus = random.choice((1, 1, 1, 1, 2, 4, 8))
        nodes = max(1, gpus // 4)
        number = random.randrange(800)  # most users have one account, some two
        user = f"user{number:03d}"
        account = f"acct{(number * 7 + random.choice((0, 0, 0, 1))) % 120:03d}"
        state = random.choices(("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED by 1000"), (80, 10, 5, 5))[0]
        tres = f"billing={gpus * 8},cpu={gpus * 8},gres/gpu:a100={gpus},gres/gpu={gpus},mem={gpus * 60}G,node={nodes}"
        job = str(1000 + month * count + i)
        yield [
            job, job, "alpha", job, str(submit), str(submit), str(start), str(start + elapsed),
            str(elapsed), "00:00:00",
            state, "0:0", user, account, "gpu", "normal", f"gpu{random.randrange(60):03d}", tres, str(nodes),
        ]  # fmt: skip


def main() -> None:
    """Write the file to stdout."""
    print("\x1f".join(HEADER))
    for row in rows(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        print("\x1f".join(row))


if __name__ == "__main__":
    main()
