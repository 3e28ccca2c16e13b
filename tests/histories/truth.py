"""What really happened on a small cluster: who held which slot, second by second. Knows nothing of the ledger.

Whole seconds are what the accounting will say; hooks and real moments lie within them, in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

T0 = 1_790_000_000
"""The second at which every history begins."""
USERS = (("ann", "lab", 2001), ("bob", "lab", 2002), ("cyd", "bio", 2003))
Places = dict[str, dict[int, int]]
"""node -> slot -> units (1 of a whole device, or shards)."""


@dataclass(eq=False)
class Node:
    """A node: the type of each slot, shards per device (0: none), whether its jobs take turns."""

    name: str
    types: list[str]
    shards: int
    gang: bool
    cards: list[list[tuple[int, str]]]
    """Of each slot: (from when, UUID)."""
    reports: list[tuple[int, bool]] = field(default_factory=list)
    """(ms, it is there): what the controller lists."""
    outages: list[Outage] = field(default_factory=list)
    holds: list[list[Hold]] = field(default_factory=list)
    dead: bool = False
    closed: bool = False
    """Takes no new jobs."""

    @property
    def gres(self) -> str:
        """As in slurm.conf."""
        kinds = sorted(set(self.types))
        parts = [f"gpu:{k}:{self.types.count(k)}" if k else f"gpu:{len(self.types)}" for k in kinds]
        if self.shards:
            kind = kinds[0]
            parts.append(f"shard{':' + kind if kind else ''}:{self.shards * len(self.types)}")
        return ",".join(parts)


@dataclass(eq=False)
class Outage:
    """[start, end) in seconds; None: lasts."""

    class_: str
    source: str
    start: int
    end: int | None


@dataclass(eq=False)
class Hold:
    """Units of a slot that nobody else can have."""

    run: Run
    units: int
    free_ms: int | None
    """When the node gave them back."""


@dataclass(eq=False)
class Part:
    """What becomes one row of the accounting: a run, or its time between two sizes. Seconds."""

    submit: int
    start: int
    places: Places
    end: int | None = None
    state: str = "RUNNING"
    known: int | None = None
    """From when on the accounting can tell that it has ended."""
    stops: list[tuple[int, int | None]] = field(default_factory=list)
    """(from, to) of each suspension; None: lasts."""
    first: bool = True
    """No size before it."""

    def stopped(self, until: int) -> int:
        """Seconds of suspension up to a moment."""
        return sum(max(0, min(until, until if to is None else to) - low) for low, to in self.stops)

    def is_stopped(self, at: int) -> bool:
        """Suspended in the second after ``at``."""
        return any(low <= at and (to is None or at < to) for low, to in self.stops)


@dataclass(eq=False)
class Run:
    """One run of a job: parts that follow one another, and the moments of its hooks on each node."""

    job: Job
    number: int
    parts: list[Part]
    began_ms: int
    prologs: dict[str, int] = field(default_factory=dict)
    epilogs: dict[str, list[int]] = field(default_factory=dict)
    requeued: bool = False
    stop_at: int | None = None
    fate: str = "COMPLETED"

    @property
    def last(self) -> Part:
        """The part that is, or was, the latest."""
        return self.parts[-1]


@dataclass(eq=False)
class Job:
    """What was submitted, and what will be done to it."""

    id: int
    user: str
    account: str
    uid: int
    kind: str
    """gpu, shard, or gang: GPUs of a node whose jobs take turns."""
    counts: list[int]
    """Devices or shards on each node."""
    type: str
    submit: int
    array: tuple[int, int] | None
    rng: Random
    runs: list[Run] = field(default_factory=list)
    not_before_ms: int = 0
    waits_from: int | None = None
    """It is pending; None: it runs or is done."""


@dataclass
class History:
    """A whole history, from ``T0`` for ``ticks`` seconds."""

    seed: int
    version: str
    ticks: int
    nodes: dict[str, Node]
    jobs: list[Job]
    tracked: bool
    """AllocTRES names types."""
    alloc: bool
    """PrologFlags=Alloc: every node's prolog runs at the start."""
    uuids: bool
    """Drivers tell UUIDs."""
    uuid_hooks: bool
    """CUDA_VISIBLE_DEVICES has them."""

    @property
    def end(self) -> int:
        """The second after the last."""
        return T0 + self.ticks

    @property
    def runs(self) -> list[Run]:
        """Every run."""
        return [run for job in self.jobs for run in job.runs]

    def share(self, job: Job, node: str, units: int) -> Fraction:
        """Devices that so many units are."""
        return Fraction(units, self.nodes[node].shards) if job.kind == "shard" else Fraction(units)

    def card(self, node: str, slot: int, at_ms: int) -> str:
        """The UUID of the card in a slot."""
        return [uuid for ms, uuid in self.nodes[node].cards[slot] if ms <= at_ms][-1]
