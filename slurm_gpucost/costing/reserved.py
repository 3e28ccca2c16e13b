"""GPUs that a reservation keeps for its own and nobody holds. Pure, exact.

At each moment a reservation keeps of its GPUs what its own attempts neither hold nor block, and at most what the node
has left: what is held, blocked or out of use comes first, then reservations in order of (start, id), for they can
overlap. So no more is held, blocked and kept than there is.

Of GPUs that are reserved by number it is not known on which of the nodes they lie: they count as spread evenly, but all
that its attempts hold on any of its nodes is taken off the whole number. So a wrong guess keeps less, and never more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.exact import exact, plain, time_span, whole


class Room(NamedTuple):
    """A node has so many GPUs in [start_ms, end_ms)."""

    node: Any
    """Whatever sorts, like (cluster, name)."""
    start_ms: int
    end_ms: int
    gpus: int


class Load(NamedTuple):
    """GPUs of a node that are held, blocked or out of use in [start_ms, end_ms)."""

    node: Any
    start_ms: int
    end_ms: int
    gpus: int | Fraction
    """Shares of a device as such; below 0: of what others hold, so much is held twice."""
    reservation: str = ""
    """By an attempt in the reservation of this name."""


class Claim(NamedTuple):
    """A reservation in [start_ms, end_ms); claims are served in order of these fields."""

    start_ms: int
    id: int
    end_ms: int
    name: str
    nodes: tuple[Any, ...]
    gpus: int | Fraction | None
    """On all its nodes together; None: all that they have."""


class Kept(NamedTuple):
    """A claim kept so many GPUs of a node unused in [start_ms, end_ms); more than 0."""

    claim: Claim
    node: Any
    start_ms: int
    end_ms: int
    devices: Fraction


_Change = tuple[int, Room | Load | Claim]
"""1 or -1, and what begins or ends."""


def kept(rooms: Iterable[Room], loads: Iterable[Load], claims: Iterable[Claim]) -> list[Kept]:
    """What each claim keeps, by claim, node and time; neighbours differ. Raises TypeError for a float.

    Rooms of a node do not overlap. Claims of one name are never in force at the same time, as in Slurm.
    """
    claims = sorted(set(claims))
    group = _groups(claims)
    changes: dict[Any, dict[int, list[_Change]]] = defaultdict(lambda: defaultdict(list))

    def note(node: Any, what: Room | Load | Claim) -> None:
        start, end = time_span(what.start_ms, what.end_ms)
        changes[group[node]][start].append((1, what))
        changes[group[node]][end].append((-1, what))

    for one in rooms:
        whole(one.gpus, "gpus")
        if one.node in group:
            note(one.node, one)
    for load in loads:
        exact(load.gpus, "gpus")
        if load.node in group:
            note(load.node, load)
    for claim in claims:
        if claim.gpus is not None:
            exact(claim.gpus, "gpus")
        for leader in dict.fromkeys(group[node] for node in claim.nodes):
            note(leader, claim)
    members: dict[Any, set[Any]] = defaultdict(set)
    for node, leader in group.items():
        members[leader].add(node)
    found: list[Kept] = []
    for leader, steps in changes.items():
        sweep = _Sweep(members[leader])
        for at in sorted(steps):
            sweep.step(at, steps[at])
        found += sweep.found
    return sorted(found)


def _groups(claims: Sequence[Claim]) -> dict[Any, Any]:
    """Node -> the first of the nodes that must be looked at together: those that claims by number connect."""
    group = {node: node for claim in claims for node in claim.nodes}

    def leader(node: Any) -> Any:
        while group[node] != node:
            group[node] = node = group[group[node]]
        return node

    for claim in claims:
        for node in claim.nodes[1:] if claim.gpus is not None else ():
            low, high = sorted((leader(claim.nodes[0]), leader(node)))
            group[high] = low
    return {node: leader(node) for node in group}


class _Sweep:
    """The nodes of a group from one change to the next."""

    def __init__(self, nodes: set[Any]) -> None:
        self.found: list[Kept] = []
        self._nodes = nodes
        self._room: dict[Any, int] = defaultdict(int)
        self._taken: dict[Any, Any] = defaultdict(int)
        self._own: dict[tuple[str, Any], Any] = defaultdict(int)
        self._claims: list[tuple[Claim, list[Any]]] = []
        self._open: dict[tuple[Claim, Any], tuple[int, Any]] = {}

    def step(self, at: int, changes: list[_Change]) -> None:
        """All that changes at that moment."""
        for sign, what in changes:
            match what:
                case Room():
                    self._room[what.node] += sign * what.gpus
                case Load():
                    gpus = sign * plain(what.gpus)
                    self._taken[what.node] += gpus
                    if what.reservation:
                        self._own[what.reservation, what.node] += gpus
                case Claim():
                    self._claims = [one for one in self._claims if one[0] != what]
                    if sign > 0:
                        mine = [node for node in what.nodes if node in self._nodes]
                        self._claims = sorted([*self._claims, (what, mine)])
        now = {(claim, node): gpus for claim, node, gpus in self._served() if gpus}
        for key in [key for key, (_, gpus) in self._open.items() if now.get(key) != gpus]:
            since, gpus = self._open.pop(key)
            self.found.append(Kept(*key, since, at, Fraction(gpus)))
        for key, gpus in now.items():
            self._open.setdefault(key, (at, gpus))

    def _served(self) -> Iterator[tuple[Claim, Any, Any]]:
        left: dict[Any, Any] = {}
        for claim, nodes in self._claims:
            wants: Any = claim.gpus  # with a number, nodes are all of the claim's
            if wants is not None:
                wants -= sum(self._own.get((claim.name, node), 0) for node in nodes)
            for node in nodes:
                room = self._room.get(node, 0)
                each = room if claim.gpus is None else plain(Fraction(claim.gpus, len(nodes)))
                free = left.setdefault(node, room - self._taken.get(node, 0))
                gets = min(each - self._own.get((claim.name, node), 0), free)
                gets = max(gets if wants is None else min(gets, wants), 0)
                left[node] -= gets
                wants = None if wants is None else wants - gets
                yield claim, node, plain(gets)
