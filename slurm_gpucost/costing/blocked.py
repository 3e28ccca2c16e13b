"""GPUs that nobody can use, for a job took the CPUs or the memory that belong to them. Pure, exact.

A job blocks max(GPUs, CPUs / CPUs per GPU, memory / memory per GPU) - GPUs of the node it is on. It is charged for
them, so blocked time is attributed and not idle. At no moment is more held and blocked than a node has: what jobs
hold comes first, and where what is left is less than they block together, each gets of it in proportion to what it
would block. What is cut so is whole parts of a GPU, differences of floors of cumulative sums in the order of keys: it
adds up to what is left, and a month's cuts have one denominator and not the product of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import floor, lcm
from typing import Any, NamedTuple

from slurm_gpucost.costing.exact import exact, plain, time_span, whole

PARTS = 720_720_000
"""A GPU is cut into a multiple of this: shares of up to a sixteenth, and of a hundredth, are whole numbers of it."""


class Installed(NamedTuple):
    """What a node has for jobs. Of what is 0 nobody knows how much there is: it blocks nothing."""

    gpus: int
    cpus: int
    mem_mb: int
    """MiB, Slurm's unit, as RealMemory."""

    @property
    def parts(self) -> int:
        """Parts that a GPU of this node is cut into: CPUs and MiB are whole numbers of them."""
        return lcm(self.cpus or 1, self.mem_mb or 1, PARTS)


class Hold(NamedTuple):
    """``key`` had this on the node in [start_ms, end_ms). Holds of one key at a time are added up."""

    start_ms: int
    end_ms: int
    key: Any
    """Whatever sorts, like (cluster, job id, submit ms)."""
    gpus: int | Fraction
    """Shares of a device as such; below 0: of what others hold, so much is held twice (gang scheduling)."""
    cpus: int | Fraction
    mem_mb: int | Fraction


class Blocked(NamedTuple):
    """``key`` blocked so many devices in [start_ms, end_ms); more than 0."""

    key: Any
    start_ms: int
    end_ms: int
    devices: Fraction

    @property
    def device_ms(self) -> Fraction:
        """Device-milliseconds."""
        return self.devices * (self.end_ms - self.start_ms)


def evenly(tres: Mapping[str, Fraction], nodes: int) -> tuple[Fraction, Fraction]:
    """(CPUs, MiB) of each node of an attempt, of which only AllocTRES is known: as much on each."""
    return tres.get("cpu", Fraction(0)) / nodes, tres.get("mem", Fraction(0)) / nodes


def blocked(holds: Iterable[Hold], node: Installed, *, in_whole: bool = False) -> list[Blocked]:
    """What each key blocked on one node, by key and time; neighbours differ. Raises TypeError for a float.

    ``in_whole``: a GPU of whose CPUs and memory a part is left is not blocked, so a job blocks only whole ones.
    """
    for name, value in node._asdict().items():
        whole(value, name)
    changes: dict[int, list[tuple[int, Hold]]] = {}
    for hold in holds:
        start, end = time_span(hold.start_ms, hold.end_ms)
        for name in ("gpus", "cpus", "mem_mb"):
            exact(getattr(hold, name), name)
        changes.setdefault(start, []).append((1, hold))
        changes.setdefault(end, []).append((-1, hold))
    sweep = _Sweep(node, in_whole)
    for at in sorted(changes):
        sweep.step(at, changes[at])
    return sorted(sweep.found)


class _Sweep:
    """The node from one change to the next. Devices are counted in parts: integers, unless a share has odd ones."""

    def __init__(self, node: Installed, in_whole: bool) -> None:
        self.found: list[Blocked] = []
        self._node, self._in_whole, self._parts = node, in_whole, node.parts
        self._totals: dict[Any, tuple[Any, Any, Any]] = {}
        self._blocks: dict[Any, Any] = {}
        self._held: Any = 0
        self._sum: Any = 0
        self._cut = False
        self._open: dict[Any, tuple[int, Any]] = {}

    def step(self, at: int, changes: list[tuple[int, Hold]]) -> None:
        """What changes at that moment: for the keys that it touches, and for all where less is left than they block."""
        touched: set[Any] = set()
        for sign, hold in changes:
            gpus, cpus, mem_mb = self._totals.get(hold.key, (0, 0, 0))
            parts = plain(hold.gpus * self._parts)
            self._totals[hold.key] = (gpus + sign * parts, cpus + sign * hold.cpus, mem_mb + sign * hold.mem_mb)
            self._held += sign * parts
            touched.add(hold.key)
        for key in touched:
            blocks = self._would_block(*self._totals[key])
            if not any(self._totals[key]):
                del self._totals[key]
            self._sum += blocks - self._blocks.pop(key, 0)
            if blocks:
                self._blocks[key] = blocks
        left = max(self._node.gpus * self._parts - self._held, 0)
        if self._sum > left or self._cut:
            touched |= set(self._blocks)
        self._cut = self._sum > left
        upto: Any = 0
        for key in sorted(touched):
            mine = parts = self._blocks.get(key, 0)
            if self._cut:
                parts = (upto + mine) * left // self._sum - upto * left // self._sum
                upto += mine
            self._turn(key, at, parts)

    def _would_block(self, gpus: Any, cpus: Any, mem_mb: Any) -> Any:
        if not cpus and not mem_mb:
            return 0
        every, wanted = self._node.gpus * self._parts, [gpus]
        if self._node.cpus:
            wanted.append(plain(cpus * (every // self._node.cpus)))
        if self._node.mem_mb:
            wanted.append(plain(mem_mb * (every // self._node.mem_mb)))
        blocks = max(min(max(wanted), every) - gpus, 0)
        return floor(blocks / Fraction(self._parts)) * self._parts if self._in_whole else blocks

    def _turn(self, key: Any, at: int, parts: Any) -> None:
        since, before = self._open.pop(key, (at, 0))
        if before and before != parts:
            self.found.append(Blocked(key, since, at, Fraction(before, self._parts)))
        if parts:
            self._open[key] = (since if before == parts else at, parts)
