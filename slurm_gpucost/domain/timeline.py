"""What each slot of a node did while nobody held it: idle, unavailable; and what the leases alone do not tell. Pure.

Capacity, leases and outages go in. For each slot and moment, of its one device:

1. running leases that name the slot take their shares;
2. suspended ones take what is left (gang scheduling lets several jobs hold a device, one of them running);
3. leases known by node alone take what is left on the node's slots, lowest index first: ``leased``;
4. the rest is ``unavailable`` while the node was out of use; else as much of it is ``completing`` as leases that have
   ended held and their epilog has not given back; else it is ``idle``.

Where leases take more than there is, the excess is a row ``oversubscribed``: class '' a finding, ``suspended`` the
gang scheduler's doing, ``unplaced`` more held on the node than it had room for. So for each slot and span of time, to
the millisecond: named leases + leased + idle + completing + unavailable - oversubscribed = capacity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.domain.inventory import Capacity, Outage
from slurm_gpucost.domain.outages import CLASSES

NO_SLOT = -1
"""gres_index of a row that is the node's, not a slot's."""
_Parts = dict[tuple[str, str], Fraction]
_ONE = Fraction(1)


class Hold(NamedTuple):
    """What a lease takes of a node."""

    start_ms: int
    end_ms: int
    gres_index: int | None
    """None: somewhere on the node."""
    gres_type: str
    quantity: Fraction
    """Devices."""
    suspended: bool
    epilog_ms: int | None
    """When the node gave it back; None: nobody says, or it was held on (by the next lease of the attempt)."""


class _Ending(NamedTuple):
    """What a lease that has ended held, until its epilog gives it back."""

    gres_index: int | None
    gres_type: str
    quantity: Fraction


_Span = Capacity | Hold | Outage | _Ending


class DeviceTime(NamedTuple):
    """A share of a slot's device in [start_ms, end_ms), by what it was. Field order is column order in the ledger."""

    cluster: str
    node: str
    gres_index: int
    """NO_SLOT: of the node, not of a slot."""
    start_ms: int
    state: str
    """``leased`` (by attempts known by node alone), ``idle``, ``completing``, ``unavailable``, ``oversubscribed``."""
    class_: str
    end_ms: int
    """OPEN_END_MS: lasts."""
    gres_type: str
    device: str | None
    share_num: int
    share_den: int


class _Slot:
    """One slot while the sweep passes: what is there and who holds it now, and the rows it has open."""

    def __init__(self) -> None:
        self.here: Capacity | None = None
        self.running = Fraction(0)
        self.suspended = Fraction(0)
        self.completing = Fraction(0)
        self.parts: _Parts = {}
        self.since_ms = 0
        self.was: Capacity | None = None
        """The capacity that the open rows were of."""


def timeline(
    capacity: Iterable[Capacity], holds: Iterable[Hold], outages: Iterable[Outage], since: Mapping[int, int] | int = 0
) -> list[DeviceTime]:
    """The rows of one node from ``since`` on (by slot, or for all); nothing where the node has no capacity.

    With ``since`` a moment at which a row of that slot begins, or at which a named lease has all of it, the rows are
    those of the whole history that end after it, and no lease that ends before it need be given.
    """
    rows = sorted(capacity, key=lambda c: (c.start_ms, c.gres_index))
    if not rows:
        return []
    sweep = _Sweep(rows[0].cluster, rows[0].node, since)
    for at_ms, changes in sorted(_changes(rows, list(holds), list(outages)).items()):
        sweep.step(at_ms, changes)
    return sorted(sweep.done)


def _changes(capacity: list[Capacity], holds: list[Hold], outages: list[Outage]) -> dict[int, list[tuple[bool, _Span]]]:
    """Moment -> what begins (True) and ends then."""
    found: defaultdict[int, list[tuple[bool, _Span]]] = defaultdict(list)

    def span(start: int, end: int, what: _Span) -> None:
        if start < end:
            found[start].append((True, what))
            found[end].append((False, what))

    for row in capacity:
        span(row.start_ms, row.end_ms, row)
    for outage in outages:
        span(outage.start_ms, outage.end_ms, outage)
    for hold in holds:
        span(hold.start_ms, hold.end_ms, hold)
        if hold.epilog_ms is not None:
            span(hold.end_ms, hold.epilog_ms, _Ending(hold.gres_index, hold.gres_type, hold.quantity))
    return found


class _Sweep:
    def __init__(self, cluster: str, node: str, since: Mapping[int, int] | int) -> None:
        self.cluster, self.node, self.since = cluster, node, since
        self.slots: defaultdict[int, _Slot] = defaultdict(_Slot)
        self.unplaced: defaultdict[tuple[str, bool], Fraction] = defaultdict(Fraction)
        """(type, suspended) -> devices held somewhere on the node."""
        self.completing: defaultdict[str, Fraction] = defaultdict(Fraction)
        """type -> devices not yet given back somewhere on the node."""
        self.out: defaultdict[str, int] = defaultdict(int)
        self.done: list[DeviceTime] = []

    def step(self, at_ms: int, changes: list[tuple[bool, _Span]]) -> None:
        """Apply all that changes at a moment, then close and open rows."""
        touched: set[int] = set()
        everything = self._somewhere()
        for begins, what in sorted(changes, key=lambda change: change[0]):  # ends before beginnings
            sign = 1 if begins else -1
            if isinstance(what, Outage):
                self.out[what.class_] += sign
                everything = True
            elif isinstance(what, _Ending):
                if what.gres_index is None:
                    self.completing[what.gres_type] += sign * what.quantity
                    everything = True
                else:
                    self.slots[what.gres_index].completing += sign * what.quantity
                    touched.add(what.gres_index)
            elif isinstance(what, Capacity):
                self.slots[what.gres_index].here = what if begins else None
                touched.add(what.gres_index)
            elif what.gres_index is None:
                self.unplaced[what.gres_type, what.suspended] += sign * what.quantity
                everything = True
            else:
                slot = self.slots[what.gres_index]
                if what.suspended:
                    slot.suspended += sign * what.quantity
                else:
                    slot.running += sign * what.quantity
                touched.add(what.gres_index)
        if everything or self._somewhere():
            touched |= {*self.slots, NO_SLOT}
        parts = self._parts(touched)
        for index in touched:
            self._show(index, at_ms, parts[index])

    def _somewhere(self) -> bool:
        """Something is held, or not given back, of which nobody knows the slot: all slots hang together."""
        return any(self.unplaced.values()) or any(self.completing.values())

    def _parts(self, touched: set[int]) -> dict[int, _Parts]:
        parts: dict[int, _Parts] = {index: {} for index in touched}
        free: dict[int, Fraction] = {}
        for index in sorted(touched):
            slot = self.slots[index] if index != NO_SLOT else None
            if slot is None or slot.here is None:
                continue
            if slot.running > 1:
                parts[index]["oversubscribed", ""] = slot.running - 1
            room = max(Fraction(0), _ONE - slot.running)
            if slot.suspended > room:
                parts[index]["oversubscribed", "suspended"] = slot.suspended - room
            free[index] = max(Fraction(0), room - slot.suspended)
        if NO_SLOT in touched and any(slot.here for slot in self.slots.values()):
            self._place(free, parts)
        out = next((name for name in CLASSES if self.out[name] > 0), None)
        if out is None:
            self._complete(free, parts)
        for index, rest in free.items():
            if rest:
                parts[index]["idle" if out is None else "unavailable", out or ""] = rest
        return parts

    def _complete(self, free: dict[int, Fraction], parts: dict[int, _Parts]) -> None:
        """What ended leases held and no epilog has given back: of their slot, else of any that is free."""
        for index in free:
            if taken := min(free[index], self.slots[index].completing):
                free[index] -= taken
                parts[index]["completing", ""] = taken
        for kind, quantity in sorted(self.completing.items(), key=lambda c: (c[0] == "", c[0])):
            for index, taken in self._take(free, kind, quantity):
                parts[index]["completing", ""] = parts[index].get(("completing", ""), Fraction(0)) + taken

    def _take(self, free: dict[int, Fraction], kind: str, quantity: Fraction) -> Iterator[tuple[int, Fraction]]:
        """So many devices of a type, as far as there are, of what is free: lowest index first."""
        for index in sorted(free):
            here = self.slots[index].here
            if quantity <= 0:
                return
            if here is None or not free[index] or (kind and here.gres_type and here.gres_type != kind):
                continue
            taken = min(quantity, free[index])
            free[index] -= taken
            quantity -= taken
            yield index, taken

    def _place(self, free: dict[int, Fraction], parts: dict[int, _Parts]) -> None:
        """Leases without a slot take free ones, of their type where they have one, running ones first."""
        for (kind, suspended), quantity in sorted(self.unplaced.items(), key=lambda u: (u[0][1], u[0][0] == "", u[0])):
            key = ("leased", "suspended" if suspended else "")
            for index, taken in self._take(free, kind, quantity):
                parts[index][key] = parts[index].get(key, Fraction(0)) + taken
                quantity -= taken
            if quantity > 0:
                key = ("oversubscribed", "suspended" if suspended else "unplaced")
                parts[NO_SLOT][key] = parts[NO_SLOT].get(key, Fraction(0)) + quantity

    def _show(self, index: int, at_ms: int, parts: _Parts) -> None:
        """All rows of a slot end where one of them does: so a later change of it need look no further back."""
        slot = self.slots[index]
        here = slot.here or Capacity(self.cluster, self.node, index, 0, 0, "", None)
        if parts == slot.parts and slot.was is not None and slot.was[5:] == here[5:]:
            return
        if slot.was is not None:
            for key, share in slot.parts.items():
                self._emit(index, slot.since_ms, at_ms, key, share, slot.was)
        slot.parts, slot.since_ms, slot.was = parts, at_ms, here

    def _emit(self, index: int, start: int, end: int, key: tuple[str, str], share: Fraction, here: Capacity) -> None:
        since = self.since if isinstance(self.since, int) else self.since.get(index, 0)
        if end > since:
            self.done.append(
                DeviceTime(
                    self.cluster, self.node, index, max(start, since), *key, end, here.gres_type, here.device,
                    share.numerator, share.denominator,
                )
            )  # fmt: skip
