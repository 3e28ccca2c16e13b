"""One history from its seed: made, told, spoilt, taken in, and everything that must hold of the ledger looked at.

``python -m tests.histories.whole SEED`` shows the smallest part of a failing history: jobs are left out while it fails.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from random import Random

from slurm_gpucost.ledger import projector
from slurm_gpucost.services.partition import check
from tests.histories import checks, faults, replay
from tests.histories.faults import CLOCK_BEHIND_MS
from tests.histories.slurm import history
from tests.histories.truth import T0, History
from tests.histories.witnesses import Testimony, testimony

SIZES = (1, 2, 3, 5, 8, 16, 30)


def told(seed: int, only: set[int] | None = None) -> tuple[History, Testimony, list[str], bool]:
    """(what happened, what was said of it, faults, exact: nothing escaped the controller)."""
    rng = Random(f"whole {seed}")
    kind = rng.choices(["faultless", "faults", "beyond"], [4, 8, 1])[0]
    made = history(seed, rng.choice(SIZES), only)
    exact = rng.random() < (0.8 if kind == "faultless" else 0.3)
    said = testimony(made, rng, exact)
    chosen = faults.some(rng, kind == "beyond") if kind != "faultless" else []
    for fault in chosen:
        fault(made, said, rng)
    return made, said, [fault.__name__ for fault in chosen], exact


def wrong(seed: int, only: set[int] | None = None) -> Iterator[str]:
    """What does not hold of the history of a seed."""
    made, said, chosen, exact = told(seed, only)
    beyond = {fault.__name__ for fault in faults.BEYOND} & set(chosen)
    rng = Random(f"order {seed}")
    window = (0, 1 << 61)  # clocks that are far off tell of times long before and after
    with replay.memory_ledger() as one, replay.memory_ledger() as other:
        replay.feed(one, replay.in_order(said), rng, 0.5)
        replay.feed(other, replay.in_any_order(said, rng), rng, 0.3)
        db, there = one.connection, replay.tables(other.connection)
        yield from (f"another order: {x}" for x in replay.differences(replay.tables(db), there))
        projector.rebuild(other, {})
        yield from (f"rebuilt: {x}" for x in replay.differences(there, replay.tables(other.connection)))
        yield from checks.money(made, said, db)
        if not beyond:
            yield from checks.devices(made, db, CLOCK_BEHIND_MS if "clocks_off" in chosen else 0)
        yield from (f"partition: {x}" for x in check(db, *window))
        if not chosen:
            yield from checks.no_strays(db)
            yield from checks.timeline(made, db, exact)
        yield from _mutations(one.connection, window, rng)


def _mutations(db: sqlite3.Connection, window: tuple[int, int], rng: Random) -> Iterator[str]:
    """A row that is taken away must be missed."""
    for table, (keys, where) in _ROWS.items():
        rows = db.execute(f"SELECT DISTINCT {keys} FROM {table} t WHERE {where}").fetchall()
        if not rows:
            continue
        row = rng.choice(rows)
        db.execute("BEGIN")
        db.execute(f"DELETE FROM {table} WHERE ({keys}) = ({', '.join('?' * len(row))})", row)
        if not check(db, *window):
            yield f"nobody missed {table} {row}"
        db.execute("ROLLBACK")


_ROWS = {
    "device_time": ("node, gres_index, start_ms, state, class", "start_ms < end_ms"),
    "lease_row": (
        "cluster, job_id, submit_ms, n",
        "t.start_ms < t.end_ms AND EXISTS (SELECT 1 FROM capacity c WHERE c.node = t.node AND "
        "coalesce(t.gres_index, c.gres_index) = c.gres_index AND c.start_ms < t.end_ms AND c.end_ms > t.start_ms)",
    ),
}
"""What names a row, and which rows tell of time that existed."""


def _smallest(seed: int) -> tuple[set[int], list[str]]:
    """The fewest jobs that still fail, and how."""
    made = told(seed)[0]
    jobs, found = {job.id for job in made.jobs}, list(wrong(seed))
    for job in sorted(jobs) if found else ():
        less = list(wrong(seed, jobs - {job}))
        if less:
            jobs, found = jobs - {job}, less
    return jobs, found


def story(seed: int, only: set[int] | None = None) -> Iterator[str]:
    """The history in words, times in ms after its beginning."""
    made, said, chosen, exact = told(seed, only)
    zero = T0 * 1000
    yield f"seed {seed}: Slurm {made.version}, {chosen or 'no faults'}, exact {exact}, Alloc {made.alloc}"
    for node in made.nodes.values():
        out = [(o.class_, o.start - T0, o.end and o.end - T0) for o in node.outages]
        yield f"{node.name} {node.gres} gang {node.gang} listed {[(ms - zero, x) for ms, x in node.reports]} out {out}"
    for run in made.runs:
        for part in run.parts:
            yield (
                f"job {run.job.id} run {run.number} {run.job.kind} submit {part.submit - T0} start {part.start - T0} "
                f"end {part.end and part.end - T0} {part.state} {part.places} "
                f"suspended {[(low - T0, high and high - T0) for low, high in part.stops]}"
            )
        yield f"  prologs { {n: ms - zero for n, ms in run.prologs.items()} }"
        yield f"  epilogs { {n: [ms - zero for ms in times] for n, times in run.epilogs.items()} }"
    yield from (str(one) for one in replay.in_order(said))


if __name__ == "__main__":
    number = int(sys.argv[1])
    fewest, broken = _smallest(number)
    print("\n".join([*story(number, fewest), "", *(broken or ["all holds"])]))
