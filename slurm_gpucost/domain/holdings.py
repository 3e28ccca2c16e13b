"""What an attempt held: AllocTRES says how much, hooks and controller say which devices. Pure.

The quantity is always the accounting's. Devices are named only where what was seen fits it; the rest is known by
node alone (one node) or spread evenly over the nodes, and so marked: nothing is lost and no device is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

from slurm_gpucost.domain.evidence import ControllerRow, HookEvent, decode_gres
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.domain.records import Attempt, Lease, Topology
from slurm_gpucost.domain.suspension import INFERRED, Stretch, stretches
from slurm_gpucost.domain.tres import GresCount, gpu_gres, parse_index_list


class Seen(NamedTuple):
    """A slot that a witness saw the attempt hold."""

    node: str
    slot: int
    name: str
    """GRES name; '' where the witness does not tell a GPU from its shards (hooks)."""
    type: str
    units: int | None
    witness: str
    device: str | None


class _Held(NamedTuple):
    """A quantity at a place: a slot, a node, or (both None) nobody knows where."""

    want: GresCount
    units: int
    slot: Seen | None
    node: str | None
    witness: str | None


def leases_of(
    attempt: Attempt,
    alloc_tres: str,
    node_list: str,
    hooks: list[HookEvent],
    controller: list[ControllerRow],
    topology: Topology,
    gone_on: bool = False,
) -> list[Lease]:
    """The leases of one attempt, in a stable order. Without a start there are none.

    ``gone_on``: it goes on after a change of size, and no prolog ran at its start.
    """
    if attempt.start_ms is None:
        return []
    seen = _seen(hooks, controller) if hooks or controller else []
    if attempt.witness == "sacct":
        counts = gpu_gres(alloc_tres)
        if not counts:
            return []
    else:
        counts = _counted(seen)
    nodes = _nodes(node_list)
    named = {want: _assign(want, seen, counts, attempt, topology) if seen else [] for want in counts}
    told = {slot.node for slots in named.values() for slot, _ in slots}
    held: list[_Held] = []
    for want, slots in named.items():
        held += [_Held(want, units, slot, slot.node, slot.witness) for slot, units in slots]
        rest = want.units - sum(units for _, units in slots)
        if rest:
            held += _spread(want, rest, nodes, told)
    ran = _hook_times(e for e in hooks if not (gone_on and e.hook == "prolog"))
    parts = stretches(attempt, controller)
    timed = list(zip(parts, _witnesses(attempt, parts), strict=True))
    return [
        _lease(attempt, n, one, part, by, ran, topology) for n, (one, (part, by)) in enumerate(product(held, timed))
    ]


@lru_cache(maxsize=4096)
def _nodes(node_list: str) -> tuple[str, ...]:
    try:
        return tuple(expand(node_list)) if node_list != "None assigned" else ()
    except ValueError:
        return ()


def _spread(want: GresCount, units: int, nodes: tuple[str, ...], named: set[str]) -> list[_Held]:
    """Units of which nobody saw the device, over the nodes of which nobody saw any, else over all."""
    if len(nodes) == 1:
        return [_Held(want, units, None, nodes[0], "sacct")]
    places = [node for node in nodes if node not in named] or list(nodes)
    if not places:
        return [_Held(want, units, None, None, None)]
    each, more = divmod(units, len(places))
    counts = [each + (i < more) for i in range(len(places))]
    return [_Held(want, n, None, node, "inferred") for node, n in zip(places, counts, strict=True) if n]


def _hook_times(hooks: Iterable[HookEvent]) -> dict[tuple[str, str], int]:
    """(hook, node) -> when the prolog first ran there, when the epilog last did."""
    times: dict[tuple[str, str], int] = {}
    for event in hooks:
        key = (event.hook, event.node)
        pick = min if event.hook == "prolog" else max
        times[key] = pick(times.get(key, event.at_ms), event.at_ms)
    return times


def _seen(hooks: list[HookEvent], controller: list[ControllerRow]) -> list[Seen]:
    """Slots by node: the prolog's where it named any, else the controller's, else the epilog's."""
    by_hook: dict[str, dict[str, list[Seen]]] = {"prolog": {}, "epilog": {}}
    for event in hooks:
        indexes = parse_index_list(event.job_gpus or "")
        if not indexes:
            continue
        visible = (event.visible_devices or "").split(",")
        named = len(visible) == len(indexes) and all(v.startswith(("GPU-", "MIG-")) for v in visible)
        slots = by_hook[event.hook].setdefault(event.node, [])
        for position, index in enumerate(indexes):
            if all(s.slot != index for s in slots):
                device = visible[position] if named else None
                slots.append(Seen(event.node, index, "", "", None, event.hook, device))
    by_controller: dict[str, list[Seen]] = {}
    for row in controller:  # in order of time: the last word on a node stands
        said: dict[str, list[Seen]] = {}
        for gres in decode_gres(row.gres):
            said.setdefault(gres.node, []).extend(
                Seen(gres.node, i, gres.name, gres.type, units or None, "scontrol", None) for i, units in gres.units
            )
        by_controller.update(said)
    seen: list[Seen] = []
    for node in sorted({*by_hook["prolog"], *by_hook["epilog"], *by_controller}):
        from_controller = by_controller.get(node, [])
        counted = {s.slot: s for s in from_controller}
        slots = by_hook["prolog"].get(node) or from_controller or by_hook["epilog"][node]
        told = {s.slot for s in slots}
        if told < counted.keys():  # 24.11 and later: of two types on a node, hooks are told the last one alone
            slots = [*slots, *(s for s in from_controller if s.slot not in told)]
        for slot in sorted(slots, key=lambda s: (s.name, s.slot)):
            twin = counted.get(slot.slot)
            if slot.witness != "scontrol" and twin is not None:
                slot = slot._replace(name=twin.name, type=twin.type, units=twin.units)
            seen.append(slot)
    return seen


def _counted(seen: list[Seen]) -> tuple[GresCount, ...]:
    """What was seen stands for what was allocated, where no accounting row says it."""
    totals: dict[tuple[str, str], int] = {}
    for slot in seen:
        key = (slot.name or "gpu", slot.type)
        totals[key] = totals.get(key, 0) + (slot.units or 1)
    return tuple(GresCount(name, kind, n) for (name, kind), n in sorted(totals.items()))


def _assign(
    want: GresCount, seen: list[Seen], counts: tuple[GresCount, ...], attempt: Attempt, topology: Topology
) -> list[tuple[Seen, int]]:
    """The seen slots that hold ``want``, with units each; [] where what was seen does not fit the accounting."""
    slots = [s for s in seen if s.name in ("", want.name)]
    kinds = {c.type for c in counts if c.name == want.name}
    if len(kinds) > 1:
        typed = [(s, _type_of(s, attempt, topology)) for s in slots]
        slots = [s for s, kind in typed if kind == want.type]
    if not slots:
        return []
    if want.name == "gpu":
        return [(s, 1) for s in slots] if len(slots) <= want.units else []
    known = [(s, s.units) for s in slots if s.units is not None]
    if len(known) == len(slots) and sum(units for _, units in known) <= want.units:
        return known
    if len(slots) == 1:
        return [(slots[0], want.units)]
    return [(s, 1) for s in slots] if len(slots) == want.units else []


def _type_of(slot: Seen, attempt: Attempt, topology: Topology) -> str:
    assert attempt.start_ms is not None
    return slot.type or topology.type_of(attempt.cluster, slot.node, slot.slot, attempt.start_ms)


def _lease(
    attempt: Attempt,
    n: int,
    held: _Held,
    part: Stretch,
    told: tuple[str, str | None],
    ran: dict[tuple[str, str], int],
    topology: Topology,
) -> Lease:
    assert attempt.start_ms is not None
    want, slot, node, at_ms = held.want, held.slot, held.node or "", attempt.start_ms
    # The device's own type goes before the accounting's, which can differ where the job did not ask for a type.
    if slot is not None:
        kind = _type_of(slot, attempt, topology) or want.type
    else:
        kind = want.type or topology.type_of(attempt.cluster, node, None, at_ms)
    device = slot.device if slot else None
    if slot is not None and device is None:
        report = topology.slot(attempt.cluster, node, slot.slot, at_ms)
        device = (report.device or None) if report else None
    if want.name == "gpu":
        units, num, den = held.units, 1, 1
    else:
        den = topology.units_per_device(attempt.cluster, held.node, want.name, kind, at_ms)
        units, num = (held.units, 1) if slot is None else (1, held.units)
    # What lies between two stretches was held on: no hook ran there.
    prolog = ran.get(("prolog", node)) if part.start_ms == attempt.start_ms else None
    epilog = ran.get(("epilog", node)) if part.end_ms == attempt.end_ms else None
    return Lease(
        part.end_ms, attempt.cluster, attempt.job_id, attempt.submit_ms, n, part.start_ms, part.suspended,
        attempt.seen_ms, attempt.billable, attempt.user, attempt.account, want.name, kind, units, num, den,
        held.node, slot.slot if slot else None, device, held.witness,
        *told, prolog, epilog, attempt.state, attempt.partition, attempt.qos, attempt.reservation, attempt.run,
        -1 if attempt.cancelled_by is None else attempt.cancelled_by, attempt.vanished,
    )  # fmt: skip


def _witnesses(attempt: Attempt, parts: list[Stretch]) -> list[tuple[str, str | None]]:
    """Who told the start and the end of each stretch; what runs has no end."""
    first, last = ("prolog", "epilog") if attempt.witness == "hooks" else (attempt.witness, attempt.witness)
    inner = ["inferred" if INFERRED in (a.suspended, b.suspended) else "scontrol" for a, b in pairwise(parts)]
    end = None if attempt.end_ms is None else "inferred" if attempt.vanished else last
    return list(zip([first, *inner], [*inner, end], strict=True))
